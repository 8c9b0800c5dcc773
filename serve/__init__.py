"""Serve Slipway artifacts over HTTP: Starlette on `runtime`. Imports nothing of `convert`."""

import runtime  # noqa: F401 - first: it turns onnxruntime's telemetry off before the import

__version__ = "1.0.0rc1"
