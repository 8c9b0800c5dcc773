"""The file of API keys: a line for each, with the SHA-256 of the key and its name.

A key is 256 random bits, so that one SHA-256 suffices: a slow hash protects what people can guess.
"""

import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import one_line
from serve.settings.kinds import SettingsError

KEY_BYTES = 32
PREFIX = "slipway_"  # by which scanners of secrets recognize a key
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MOST_BYTES = 2**20
MODE = 0o600
_DIGEST = re.compile(r"[0-9a-f]{64}")

Digests = Mapping[str, str]  # by the name of the key: its SHA-256 in hexadecimal digits


def new_key() -> str:
    """Return a key of 256 random bits, as text."""
    return PREFIX + secrets.token_urlsafe(KEY_BYTES)


def digest_of(key: bytes) -> str:
    """Return what is stored of a key."""
    return hashlib.sha256(key).hexdigest()


def parse_keys(text: str, where: str) -> dict[str, str]:
    """Return the digests by name; empty lines and those that begin with # are passed over.

    Raises:
        SettingsError: a line is wrong, or a name or digest is there twice.
    """
    digests: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        digest, _, name = line.strip().partition(" ")
        if not digest or digest.startswith("#"):
            continue
        name = name.strip()
        if not _DIGEST.fullmatch(digest) or not NAME.fullmatch(name):
            # the line is not shown: somebody may have written a key into it
            raise SettingsError(
                f"{where}: line {number} is wrong; allowed: 64 hexadecimal digits, a space, and a "
                "name of letters, digits and . _ -"
            )
        if name in digests or digest in digests.values():
            raise SettingsError(f"{where}: line {number} repeats a name or a key")
        digests[name] = digest
    return digests


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A file of API keys."""

    path: Path

    def read(self) -> dict[str, str]:
        """Return the digests by name.

        Raises:
            SettingsError: it is absent, cannot be read, is too long, or wrong.
        """
        try:
            with self.path.open("rb") as stream:
                data = stream.read(MOST_BYTES + 1)
        except OSError as error:
            raise SettingsError(
                f"the API keys in {self.path} cannot be read ({error.strerror}); make one: "
                "python -m serve key create NAME"
            ) from error
        if len(data) > MOST_BYTES:
            raise SettingsError(f"{self.path} has more than {MOST_BYTES} bytes; allowed: that many")
        try:
            return parse_keys(data.decode(), str(self.path))
        except UnicodeDecodeError as error:
            raise SettingsError(f"{self.path} is not UTF-8: {one_line(error)}") from error

    def change(self, edit: Callable[[dict[str, str]], Digests]) -> None:
        """Read, edit and write the file, which need not exist; a second writer waits.

        Raises:
            SettingsError: it is wrong or cannot be written, or the edit is refused.
        """
        try:
            with self._locked():
                digests = edit(self.read() if self.path.exists() else {})
                self._write(digests)
        except OSError as error:
            raise SettingsError(f"{self.path} cannot be written: {error.strerror}") from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.path.parent, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _write(self, digests: Digests) -> None:
        """Write a temporary file, flush it, and rename it: readers see the old keys or the new.

        A new file is for its owner alone; one that is replaced keeps its owner and mode.
        """
        temporary = self.path.with_name(f".{self.path.name}.tmp")
        text = "".join(f"{digest} {name}\n" for name, digest in digests.items())
        temporary.unlink(missing_ok=True)
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, MODE), "w") as stream:
            if self.path.exists():
                before = self.path.stat()
                os.fchmod(stream.fileno(), before.st_mode & 0o777)
                if os.geteuid() == 0:
                    os.fchown(stream.fileno(), before.st_uid, before.st_gid)
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, self.path)
