"""Runs Slipway artifacts with onnxruntime, numpy and OpenCV alone."""

import os

# onnxruntime 1.29+ sends telemetry from its official Linux builds unless told before its import
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

from runtime.model import Model, load

__all__ = ["Model", "load"]
