"""Print what frameworks take on disk with all that they require, as JSON.

python -m benchmarks.originals.installed NAME...

Runs in the environment that holds them; a framework that it lacks is left out.
"""

import json
import re
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9._-]+")


def installed_mb(name: str) -> float | None:
    """Return the megabytes of a package and of its requirements; None if it is not installed."""
    if (root := _find(name)) is None:
        return None
    packages, waiting = {root.name: root}, [root]
    while waiting:
        for required in _requirements(waiting.pop()):
            if required.name not in packages:
                packages[required.name] = required
                waiting.append(required)
    return sum(map(_size_bytes, packages.values())) / 1e6


def _requirements(package: Distribution) -> Iterator[Distribution]:
    for line in package.requires or ():
        matched = _NAME.match(line)
        is_optional = "extra ==" in line
        required = None if matched is None or is_optional else _find(matched[0])
        if required is not None:
            yield required


def _find(name: str) -> Distribution | None:
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def _size_bytes(package: Distribution) -> int:
    paths = [Path(str(one.locate())) for one in package.files or () if ".." not in one.parts]
    return sum(path.stat().st_size for path in paths if path.is_file())


if __name__ == "__main__":
    sizes = {name: installed_mb(name) for name in sys.argv[1:]}
    print(json.dumps({name: mb for name, mb in sizes.items() if mb is not None}))
