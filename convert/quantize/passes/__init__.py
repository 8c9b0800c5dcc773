"""One file per change that quantization makes to a graph."""
