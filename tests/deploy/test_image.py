"""Check that serving loads nothing that the Dockerfile removes from the deployed packages."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# imports every module of runtime and serve, then prints the files that are imported or mapped
LOADED = """
import importlib, pkgutil, sys
import runtime, serve
for package in (runtime, serve):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
for module in list(sys.modules.values()):
    print(getattr(module, "__file__", None))
for line in open("/proc/self/maps"):
    print(line.split(maxsplit=5)[-1].strip())
"""


def removed_paths() -> list[str]:
    """Return the paths that the image lacks, relative to site-packages; a final * is a wildcard."""
    command = re.search(r"&& rm -r ([^&]+)&&", (ROOT / "Dockerfile").read_text())
    assert command is not None
    return command[1].replace("\\", " ").split()


def loaded_paths() -> list[str]:
    """Return the files of site-packages that runtime and serve load, relative to it."""
    process = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=ROOT, capture_output=True, text=True, check=True
    )
    folder = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages/"
    return [line.partition(folder)[2] for line in process.stdout.splitlines() if folder in line]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc/self/maps (Linux)")
def test_serving_loads_nothing_that_the_image_lacks() -> None:
    absent = tuple(path.rstrip("*") for path in removed_paths())
    paths = loaded_paths()
    assert any("onnxruntime_pybind11_state" in path for path in paths)
    assert [path for path in paths if path.startswith(absent) or "/tests/" in path] == []
