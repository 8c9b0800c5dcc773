"""onnxruntime sessions, CPU and memory limits, the allocator."""
