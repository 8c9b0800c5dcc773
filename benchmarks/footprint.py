"""Measure the deployed packages: their size on disk, and the time to import runtime and serve."""

import json
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from benchmarks.children import PROJECT, run_python
from benchmarks.errors import BenchmarkError

DEPLOYED = PROJECT / "requirements" / "deploy.txt"
FRAMEWORKS = (
    "torch", "tensorflow", "keras", "transformers", "optimum", "onnx", "tf2onnx", "librosa",
    "scipy", "sklearn", "numba", "PIL",
)  # fmt: skip
MEGABYTE = 1e6
_IMPORT = """
import importlib, sys, time
start = time.perf_counter()
for name in sys.argv[1:]:
    importlib.import_module(name)
seconds = time.perf_counter() - start
import json
names = sorted({name.partition(".")[0] for name in sys.modules})
print(json.dumps({"seconds": seconds, "modules": names}))
"""
# a pin with a condition is of another Python than this one
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]++)(?! *;)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Imports:
    """The import of serve.app and runtime in a fresh interpreter."""

    seconds: float  # median; without the start of the interpreter
    frameworks: tuple[str, ...]  # the members of FRAMEWORKS that the import loads


def measure_imports(
    process_starts: int, modules: Sequence[str] = ("serve.app", "runtime")
) -> Imports:
    """Import modules in fresh interpreters.

    Args:
        process_starts: number of interpreters, at least one.
        modules: names of the modules.
    """
    starts = [json.loads(run_python(_IMPORT, *modules)) for _ in range(process_starts)]
    loaded = {name for start in starts for name in start["modules"]}
    return Imports(
        seconds=statistics.median(start["seconds"] for start in starts),
        frameworks=tuple(name for name in FRAMEWORKS if name in loaded),
    )


def package_sizes(requirements: Path = DEPLOYED) -> dict[str, float]:
    """Return the size on disk of each deployed package, in MB (10^6 bytes).

    Counts the files that the installer recorded within site-packages, byte code included. So the
    figures do not depend on what else the environment holds.

    Raises:
        BenchmarkError: a package is missing, or its version is not that of the requirements.
    """
    pins: Mapping[str, str] = dict(_PIN.findall(requirements.read_text(encoding="utf-8")))
    return {name: _size_bytes(name, version) / MEGABYTE for name, version in pins.items()}


def _size_bytes(name: str, version: str) -> int:
    try:
        package = distribution(name)
    except PackageNotFoundError:
        raise BenchmarkError(
            f"{name} is not installed; the image holds {name}=={version}"
        ) from None
    if package.version != version:
        raise BenchmarkError(f"{name} is {package.version}; the image holds {name}=={version}")
    # a path with ".." is a script outside of site-packages
    paths = [Path(str(file.locate())) for file in package.files or () if ".." not in file.parts]
    return sum(path.stat().st_size for path in paths if path.is_file())
