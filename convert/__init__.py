"""Convert checkpoints to verified, quantized ONNX artifacts. Imports `runtime`, never `serve`."""
