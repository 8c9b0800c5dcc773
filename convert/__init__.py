"""Offline: checkpoints to verified, quantized ONNX artifacts. May import runtime, never serve."""
