"""`python -m convert sign`: make a key, and sign versions with it."""

import argparse
import base64
import os
import sys
from pathlib import Path

from runtime.artifact.manifest import read_manifest, verify_file
from runtime.artifact.signature import (
    CONTEXT,
    INSTALL,
    KEY_BYTES,
    SIGNATURE,
    Signature,
    decode,
    is_installed,
    key_text,
    read_signatures,
)
from runtime.errors import ArtifactError, SlipwayError
from runtime.transport.contents import find_versions

SECRET = "ed25519-secret"  # begins the line of a secret key
SECRET_MODE = 0o600
NOTE = "# signs artifacts of Slipway; whoever has this file can sign"


def sign(options: argparse.Namespace) -> int:
    """Make a key, or sign every version of the sources; return 1 if one is refused."""
    if not is_installed():
        print(f"convert: PyNaCl is not installed, which signs: {INSTALL}", file=sys.stderr)
        return 1
    try:
        if options.new_key is not None:
            print(key_text(make_key(options.new_key)))
            return 0
        if options.key is None or not options.sources:
            raise ArtifactError("allowed: --new-key FILE, or --key FILE ARTIFACTS...")
        secret = read_secret(options.key)
        for source in options.sources:
            for directory in find_versions(source):
                signature = sign_version(directory, secret)
                print(f"{directory} is signed by {key_text(signature.key)}")
    except BrokenPipeError:
        raise  # of standard output
    except (SlipwayError, OSError) as error:
        print(f"convert: {error}", file=sys.stderr)
        return 1
    return 0


def make_key(path: Path) -> bytes:
    """Write a new secret key for its owner alone, and return its public key, 32 bytes.

    Raises:
        OSError: there is such a file, or it cannot be written.
    """
    from nacl.signing import SigningKey

    key = SigningKey.generate()
    text = f"{NOTE}\n{SECRET} {base64.b64encode(bytes(key)).decode()}\n"
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, SECRET_MODE), "w") as stream:
        stream.write(text)
    return bytes(key.verify_key)


def read_secret(path: Path) -> bytes:
    """Return a secret key, 32 bytes.

    Raises:
        ArtifactError: the file has none; its content is not shown.
        OSError: it cannot be read.
    """
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, text = line.partition(" ")
        if name == SECRET and (secret := decode(text.strip(), KEY_BYTES)):
            return secret
    raise ArtifactError(f"{path} holds no secret key; make one: python -m convert sign --new-key")


def sign_version(directory: Path, secret: bytes) -> Signature:
    """Sign a version whose files are as its manifest says; signatures of other keys stay.

    Raises:
        ArtifactError: the version is not as its manifest says.
        OSError: it cannot be written.
    """
    from nacl.signing import SigningKey

    signed: list[bytes] = []
    manifest = read_manifest(directory, signed.append)
    for file in manifest.files:
        verify_file(directory, file)
    key = SigningKey(secret)
    own = Signature(bytes(key.verify_key), key.sign(CONTEXT + signed[0]).signature)
    others = [one for one in read_signatures(directory) if one.key != own.key]
    temporary = directory / f"{SIGNATURE}.tmp"
    with temporary.open("w", encoding="ascii") as stream:
        stream.write("".join(f"{signature}\n" for signature in (*others, own)))
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(temporary, directory / SIGNATURE)
    return own
