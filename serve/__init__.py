"""Answers over HTTP with Slipway artifacts: Starlette on `runtime`. Imports nothing of convert."""

import runtime  # noqa: F401 - first: it turns onnxruntime's telemetry off before its import

__version__ = "0.1.0"
