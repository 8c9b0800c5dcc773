"""Edits of ONNX graphs that change no value: names, opset, a free batch axis."""
