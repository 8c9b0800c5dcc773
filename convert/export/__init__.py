"""Export of a loaded network to a float ONNX graph whose inputs are decoded media."""
