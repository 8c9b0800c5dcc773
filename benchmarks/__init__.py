"""Measures what artifacts cost: footprint, memory, latency. May import runtime, nothing else."""

import runtime  # noqa: F401 - first: it turns onnxruntime's telemetry off before its import
