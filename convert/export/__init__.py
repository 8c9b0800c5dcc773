"""From a loaded network to a float ONNX graph that takes what a decoder gives."""
