"""Python and packages. Standard library alone: it must run where nothing is installed yet."""

import platform
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path

from convert.commands.doctor.finding import Finding

REQUIREMENTS = Path(__file__).parents[3] / "requirements"
LISTS = ("convert.txt", "weights.txt")
PYTHONS = ((3, 11), (3, 13))  # the first and the last that all packages have wheels for
# without these a conversion does not start; the others are theirs, or for checks and tests
NEEDED = (
    *("numpy", "opencv-python-headless", "soundfile", "soxr", "onnx", "onnxruntime"),
    *("torch", "tensorflow-cpu", "keras", "tf2onnx", "safetensors", "transformers"),
    *("optimum", "optimum-onnx", "jinja2"),
)
INSTALL = "make .venv-convert/.installed, then .venv-convert/bin/python -m convert doctor"
SHOWN = 4
_PIN = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)")


def look(version: tuple[int, int] = sys.version_info[:2]) -> Iterator[Finding]:
    """Python, then packages.

    Args:
        version: of Python, major and minor.
    """
    yield _python(version)
    yield from packages(pins(REQUIREMENTS))


def pins(directory: Path) -> dict[str, str]:
    """Package to version, as the lists of requirements have them."""
    lists = [directory / name for name in LISTS if (directory / name).is_file()]
    lines = [line for path in lists for line in path.read_text(encoding="utf-8").splitlines()]
    return {match[1]: match[2] for line in lines if (match := _PIN.match(line))}


def packages(
    wanted: Mapping[str, str], version_of: Callable[[str], str] = metadata.version
) -> Iterator[Finding]:
    """What is not installed, and what is in another version.

    Args:
        wanted: package to version.
        version_of: the version installed; raises PackageNotFoundError.
    """
    found = {name: _installed(name, version_of) for name in {*wanted, *NEEDED}}
    absent = [name for name in NEEDED if found[name] is None]
    if absent:
        yield Finding("missing", "packages", f"{', '.join(absent)} not installed; {INSTALL}")
        return
    other = [
        f"{name} {found[name] or 'absent'} ({version} listed)"
        for name, version in wanted.items()
        if found[name] != version
    ]
    if other:
        more = f" and {len(other) - SHOWN} more" if len(other) > SHOWN else ""
        yield Finding(
            "note",
            "packages",
            f"{', '.join(other[:SHOWN])}{more}; equal files are promised for the versions of "
            "requirements/ only",
        )
    else:
        yield Finding("ok", "packages", f"{len(wanted)}, in the versions of requirements/")


def _python(version: tuple[int, int]) -> Finding:
    told = f"{'.'.join(map(str, version))} on {platform.system()} {platform.machine()}"
    first, last = (".".join(map(str, each)) for each in PYTHONS)
    if not PYTHONS[0] <= version <= PYTHONS[1]:
        advice = f"{first} to {last} needed: make PYTHON=/path/to/python{last}"
        return Finding("missing", "Python", f"{told}; {advice}")
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return Finding("note", "Python", f"{told}; tried on Linux x86_64 only")
    return Finding("ok", "Python", told)


def _installed(name: str, version_of: Callable[[str], str]) -> str | None:
    try:
        return version_of(name).partition("+")[0]  # torch 2.13.0+cpu
    except metadata.PackageNotFoundError:
        return None
