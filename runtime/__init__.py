"""Runs Slipway artifacts with onnxruntime, numpy and OpenCV alone."""

import os
from typing import TYPE_CHECKING, Any

# onnxruntime 1.29+ sends telemetry from its official Linux builds unless told before its import
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

if TYPE_CHECKING:
    from runtime.model import Model, load

__all__ = ["Model", "load"]


def __getattr__(name: str) -> Any:
    # at first use: a worker that decodes (`runtime.media.isolation`) needs no onnxruntime
    if name in __all__:
        from runtime import model

        return getattr(model, name)
    raise AttributeError(f"module 'runtime' has no attribute {name!r}")
