"""Check Python and packages, with the standard library: nothing may be installed yet."""

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
# a conversion does not start without these; the other listed packages are their dependencies, or
# for checks and tests
NEEDED = (
    *("numpy", "opencv-python-headless", "soundfile", "soxr", "onnx", "onnxruntime"),
    *("torch", "tensorflow-cpu", "keras", "tf2onnx", "safetensors", "transformers"),
    *("optimum", "optimum-onnx", "jinja2", "rich"),
)
INSTALL = "make .venv-convert/.installed, then .venv-convert/bin/python -m convert doctor"
SHOWN = 4
_PIN = re.compile(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)")


def check_environment(version: tuple[int, int] = sys.version_info[:2]) -> Iterator[Finding]:
    """Check Python, then packages.

    Args:
        version: of Python, major and minor.
    """
    yield _check_python(version)
    yield from check_packages(read_pins(REQUIREMENTS))


def read_pins(directory: Path) -> dict[str, str]:
    """Read the version of each package that the lists of requirements in a directory pin."""
    lists = [directory / name for name in LISTS if (directory / name).is_file()]
    lines = [line for path in lists for line in path.read_text(encoding="utf-8").splitlines()]
    return {match[1]: match[2] for line in lines if (match := _PIN.match(line))}


def check_packages(
    pins: Mapping[str, str], version_of: Callable[[str], str] = metadata.version
) -> Iterator[Finding]:
    """Check that the needed packages are installed, and all of them in their pinned versions.

    Args:
        pins: version by package.
        version_of: returns the installed version of a package; raises PackageNotFoundError.
    """
    installed = {name: _installed_version(name, version_of) for name in {*pins, *NEEDED}}
    absent = [name for name in NEEDED if installed[name] is None]
    if absent:
        yield Finding("missing", "packages", f"{', '.join(absent)} not installed; {INSTALL}")
        return
    other = [
        f"{name} {installed[name] or 'absent'} ({version} listed)"
        for name, version in pins.items()
        if installed[name] != version
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
        yield Finding("ok", "packages", f"{len(pins)}, in the versions of requirements/")


def _check_python(version: tuple[int, int]) -> Finding:
    here = f"{'.'.join(map(str, version))} on {platform.system()} {platform.machine()}"
    first, last = (".".join(map(str, python)) for python in PYTHONS)
    if not PYTHONS[0] <= version <= PYTHONS[1]:
        advice = f"{first} to {last} needed: make PYTHON=/path/to/python{last}"
        return Finding("missing", "Python", f"{here}; {advice}")
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        return Finding("note", "Python", f"{here}; tested on Linux x86_64 only")
    return Finding("ok", "Python", here)


def _installed_version(name: str, version_of: Callable[[str], str]) -> str | None:
    try:
        return version_of(name).partition("+")[0]  # torch names its version 2.13.0+cpu
    except metadata.PackageNotFoundError:
        return None
