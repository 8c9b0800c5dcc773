"""Signed versions."""

from pathlib import Path

from nacl.signing import SigningKey

from runtime.artifact.signature import CONTEXT, SIGNATURE, Signature

TRUSTED, OTHER = SigningKey(b"t" * 32), SigningKey(b"o" * 32)


def public(key: SigningKey) -> bytes:
    return bytes(key.verify_key)


def signature_of(data: bytes, key: SigningKey = TRUSTED, context: bytes = CONTEXT) -> Signature:
    return Signature(public(key), key.sign(context + data).signature)


def sign(directory: Path, *keys: SigningKey) -> Path:
    """Write manifest.sig of a version, and return its directory."""
    manifest = (directory / "manifest.json").read_bytes()
    lines = [f"{signature_of(manifest, key)}\n" for key in keys or (TRUSTED,)]
    (directory / SIGNATURE).write_text("".join(lines))
    return directory
