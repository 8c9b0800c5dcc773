"""The API keys of a server: whose key a client sends."""

import hashlib
import secrets
from collections.abc import Iterable

from serve.http.administrator import is_admin_key
from serve.keys.key_file import Digests, KeyFile, digest_of
from serve.settings import Settings

ADMINISTRATOR = "*"  # in place of the name of a key, which has no such character


class KeyRing:
    """The keys that are valid now."""

    def __init__(self, settings: Settings) -> None:
        """Read the file of the settings, if they name one.

        Raises:
            SettingsError: it cannot be read, or is wrong.
        """
        self._file = KeyFile(settings.api_keys_file) if settings.api_keys_file else None
        self._admin_key = settings.admin_key
        self._secret = secrets.token_bytes(32)
        self._names: dict[bytes, str] = {}
        self._take(self._file.read() if self._file else {})

    @property
    def is_required(self) -> bool:
        """Return whether requests need a key; without any valid key none is answered."""
        return self._file is not None

    def reload(self) -> int:
        """Read the file again, and return the number of keys; if it is wrong, nothing changes.

        Raises:
            SettingsError: it cannot be read, or is wrong.
        """
        if self._file:
            self._take(self._file.read())
        return len(self._names)

    def owner_of(self, keys: Iterable[bytes]) -> str | None:
        """Return the name of the first valid key, ADMINISTRATOR for that of SLIPWAY_ADMIN_KEY.

        The time that it takes does not tell how near a key is: what is looked up is a digest with
        a secret of this process, so that nobody can choose its bytes.
        """
        for key in keys:
            if name := self._names.get(self._blind(digest_of(key))):
                return name
            if self._admin_key and is_admin_key(key, self._admin_key):
                return ADMINISTRATOR
        return None

    def _take(self, digests: Digests) -> None:
        self._names = {self._blind(digest): name for name, digest in digests.items()}

    def _blind(self, digest: str) -> bytes:
        return hashlib.blake2b(digest.encode(), key=self._secret).digest()
