"""Measurements on the file that will serve: parity, latency, memory, operators. Needs no onnx."""
