"""Check which modules an import of the deployed packages loads."""

import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[1]
BANNED = ("torch", "tensorflow", "keras", "onnx", "tf2onnx", "PIL", "scipy", "transformers",
          "optimum", "librosa", "convert", "benchmarks")  # fmt: skip


def test_import_of_serve_and_runtime_loads_no_framework() -> None:
    code = (
        "import pkgutil, sys, importlib, runtime, serve\n"
        "for package in (runtime, serve):\n"
        "    for module in pkgutil.iter_modules(package.__path__, package.__name__ + '.'):\n"
        "        if not module.name.startswith('runtime.__main__'):\n"
        "            importlib.import_module(module.name)\n"
        "print('\\n'.join(sorted({name.partition('.')[0] for name in sys.modules})))\n"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, check=True, capture_output=True, text=True
    )
    loaded = set(process.stdout.split())
    assert {"runtime", "serve", "onnxruntime", "starlette"} <= loaded
    assert loaded.isdisjoint(BANNED), loaded.intersection(BANNED)


def test_the_packages_are_those_of_this_checkout() -> None:
    import runtime
    import serve
    import tests

    for package in (runtime, serve, tests):
        assert Path(str(package.__file__)).parents[1] == PROJECT
