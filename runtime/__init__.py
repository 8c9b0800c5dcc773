"""Run Slipway artifacts with onnxruntime, numpy and OpenCV, without a framework."""

import os
from typing import TYPE_CHECKING, Any

# set before its import: onnxruntime 1.29 and later send telemetry from their Linux builds
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

if TYPE_CHECKING:
    from runtime.model import Model, load

__all__ = ["Model", "load"]


def __getattr__(name: str) -> Any:
    # imported at first use: the decoder processes of `runtime.media.isolation` need no onnxruntime
    if name in __all__:
        from runtime import model

        return getattr(model, name)
    raise AttributeError(f"module 'runtime' has no attribute {name!r}")
