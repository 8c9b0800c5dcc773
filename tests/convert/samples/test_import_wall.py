"""Samples are read, and artifacts verified, where neither onnx nor a framework is installed."""

import subprocess
import sys

HEAVY = ("onnx", "torch", "tensorflow", "keras", "tf2onnx", "transformers", "optimum", "librosa")


def test_samples_and_verification_import_no_onnx_and_no_framework() -> None:
    program = f"""
import importlib, pkgutil, sys
for package in ("convert.samples", "convert.verify", "convert.metrics", "convert.recipe"):
    module = importlib.import_module(package)
    for inner in pkgutil.walk_packages(getattr(module, "__path__", ()), package + "."):
        importlib.import_module(inner.name)
print(*sorted(sys.modules.keys() & set({HEAVY!r})), len(sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    *heavy, count = done.stdout.split()
    assert heavy == []
    assert int(count) > 100
