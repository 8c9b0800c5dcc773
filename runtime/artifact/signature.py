"""The signature of a version, manifest.sig: a line for each key that signed its manifest.json.

The manifest has the hashes of all other files, its model and its number, so that the signature is
of the whole version. It tells who published it, not that it is the newest.
"""

import base64
import binascii
import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import ArtifactError

SIGNATURE = "manifest.sig"
ALGORITHM = "ed25519"
CONTEXT = b"slipway artifact manifest\n"  # before what is signed: a signature means nothing else
KEY_BYTES, SIGNATURE_BYTES = 32, 64
MOST_BYTES = 16384  # of the file
INSTALL = "pip install --require-hashes -r requirements/sign.txt"


@dataclass(frozen=True, slots=True)
class Signature:
    """A line of manifest.sig."""

    key: bytes  # public, 32 bytes
    signature: bytes  # 64 bytes

    def __str__(self) -> str:
        """Return the line, without its end."""
        return f"{ALGORITHM} {key_text(self.key)} {base64.b64encode(self.signature).decode()}"

    def fits(self, manifest: bytes) -> bool:
        """Return whether its key signed these bytes of manifest.json."""
        from nacl.exceptions import BadSignatureError
        from nacl.signing import VerifyKey

        try:
            VerifyKey(self.key).verify(CONTEXT + manifest, self.signature)
        except BadSignatureError:
            return False
        return True


@dataclass(frozen=True, slots=True)
class TrustedKeys:
    """The keys that may sign what is served; without any, nothing has to be signed."""

    keys: tuple[bytes, ...] = ()  # public, 32 bytes each

    def check_library(self) -> None:
        """Raise ArtifactError if signatures are asked for, and cannot be checked here."""
        if self.keys and not is_installed():
            raise ArtifactError(
                f"signatures are asked for, and PyNaCl is not installed, which checks them: "
                f"{INSTALL}"
            )

    def check(self, directory: Path, manifest: bytes) -> None:
        """Check that one of the keys signed a version; do nothing without keys.

        Args:
            directory: of the version.
            manifest: the bytes of its manifest.json, which are parsed afterwards.

        Raises:
            ArtifactError: none of them did, or the signature is of other bytes.
        """
        if not self.keys:
            return
        signatures = read_signatures(directory)
        if not signatures:
            raise ArtifactError(
                f"{directory} is not signed; allowed: {SIGNATURE} by a trusted key, which "
                "python -m convert sign writes"
            )
        own = [signature for signature in signatures if signature.key in self.keys]
        if not own:
            signers = ", ".join(key_text(signature.key) for signature in signatures)
            raise ArtifactError(f"{directory} is signed by {signers}, which is not trusted")
        if not any(signature.fits(manifest) for signature in own):
            raise ArtifactError(
                f"{directory / SIGNATURE} is no signature of this manifest.json: one of them was "
                "changed"
            )


def is_installed() -> bool:
    """Return whether signatures can be made and checked here."""
    return importlib.util.find_spec("nacl") is not None


def read_signatures(directory: Path) -> list[Signature]:
    """Return the signatures of a version; none without manifest.sig.

    Raises:
        ArtifactError: the file cannot be read, is too long or wrong.
    """
    path = directory / SIGNATURE
    try:
        with path.open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from error
    if len(data) > MOST_BYTES:
        raise ArtifactError(f"{path} has more than {MOST_BYTES} bytes; allowed: that many")
    return list(_parse(data.decode("ascii", "replace"), path))


def _parse(text: str, path: Path) -> Iterator[Signature]:
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        key, signature = (
            (decode(words[1], KEY_BYTES), decode(words[2], SIGNATURE_BYTES))
            if len(words) == 3 and words[0] == ALGORITHM
            else (None, None)
        )
        if key is None or signature is None:
            raise ArtifactError(
                f"{path}: line {number} is wrong; allowed: {ALGORITHM}, a public key and a "
                "signature in base64"
            )
        yield Signature(key, signature)


def decode(text: str, size_bytes: int) -> bytes | None:
    """Return the bytes of base64; None if they are not as many, or it is no base64."""
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if len(data) == size_bytes else None


def parse_public_keys(text: str) -> tuple[bytes, ...]:
    """Return the public keys of a text, separated by commas.

    Raises:
        ArtifactError: a part of it is none.
    """
    keys = []
    for part in filter(None, map(str.strip, text.split(","))):
        if (key := decode(part, KEY_BYTES)) is None:
            raise ArtifactError(f"{part[:80]!r} is no public key; allowed: 32 bytes in base64")
        keys.append(key)
    return tuple(keys)


def key_text(key: bytes) -> str:
    """Return a public key as SLIPWAY_TRUSTED_KEYS has it."""
    return base64.b64encode(key).decode()
