"""The Open Inference Protocol: routes, tensors, batches."""
