"""What the deployed packages weigh: on disk, and at the import of runtime and serve."""

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
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Imports:
    """What a clean interpreter does at the import of serve.app and runtime."""

    seconds: float  # the median; the interpreter's own start is not in it
    frameworks: tuple[str, ...]  # of FRAMEWORKS, those that were loaded


def measure_imports(
    process_starts: int, modules: Sequence[str] = ("serve.app", "runtime")
) -> Imports:
    """Import the deployed packages in new interpreters, at least one."""
    found = [json.loads(run_python(_IMPORT, *modules)) for _ in range(process_starts)]
    loaded = {name for one in found for name in one["modules"]}
    return Imports(
        seconds=statistics.median(one["seconds"] for one in found),
        frameworks=tuple(name for name in FRAMEWORKS if name in loaded),
    )


def package_sizes(requirements: Path = DEPLOYED) -> dict[str, float]:
    """Size on disk of each deployed package, in MB (10^6 bytes).

    The files are those that the installer recorded within site-packages, byte code included; so an
    environment that holds test tools too gives the same figures.

    Raises:
        BenchmarkError: a package is missing or of another version than the requirements name.
    """
    pins: Mapping[str, str] = dict(_PIN.findall(requirements.read_text(encoding="utf-8")))
    return {name: _size_bytes(name, version) / MEGABYTE for name, version in pins.items()}


def _size_bytes(name: str, version: str) -> int:
    try:
        found = distribution(name)
    except PackageNotFoundError:
        raise BenchmarkError(
            f"{name} is not installed; the image holds {name}=={version}"
        ) from None
    if found.version != version:
        raise BenchmarkError(f"{name} is {found.version}; the image holds {name}=={version}")
    # scripts and the like lie outside site-packages
    paths = [Path(str(file.locate())) for file in found.files or () if ".." not in file.parts]
    return sum(path.stat().st_size for path in paths if path.is_file())
