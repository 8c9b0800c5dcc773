"""Measure what artifacts cost: disk space, memory and time. Imports `runtime` alone."""

import runtime  # noqa: F401 - first: it turns off onnxruntime's telemetry, which starts at its import
