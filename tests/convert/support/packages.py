"""Installed Python packages of a few files, as pip leaves them, in a folder of the test's."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from convert.sources import PackageSource

VERSION = "1.2"


def install(directory: Path, files: Mapping[str, bytes]) -> PackageSource:
    """Write a package whose import fails; return the source of its only file, or of its folder.

    Args:
        directory: where packages are installed; the caller puts it on sys.path.
        files: content by path. The first part of each path is the name of the package's module.
    """
    module = next(iter(files)).partition("/")[0]
    for name, content in {
        **files,
        f"{module}/__init__.py": b"raise RuntimeError('a package of weights was imported')",
        f"{module}-{VERSION}.dist-info/METADATA": metadata(module),
    }.items():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes(content)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    ((path, sha256), *others) = hashes.items()
    package = module.replace("_", "-")
    if not others:
        return PackageSource(package, VERSION, path, sha256, licence="ISC")
    by_name = {name.removeprefix(f"{module}/"): value for name, value in hashes.items()}
    return PackageSource(package, VERSION, module, by_name, licence="ISC")


def metadata(module: str) -> bytes:
    """Return the METADATA file of a package."""
    return f"Metadata-Version: 2.1\nName: {module}\nVersion: {VERSION}\n".encode()
