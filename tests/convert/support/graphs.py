"""Inputs for small networks, and what a graph computes from them."""

import numpy as np
import onnx
import onnxruntime as ort


def random_images(count: int, *, side: int = 8) -> np.ndarray:
    """Return the same normal values every time: (count, 3, side, side) float32."""
    return np.random.default_rng(3).normal(size=(count, 3, side, side)).astype(np.float32)


def run_graph(model: onnx.ModelProto, batch: np.ndarray) -> np.ndarray:
    """Run a graph of one input; return its first output."""
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    output: np.ndarray = session.run(None, {session.get_inputs()[0].name: batch})[0]
    return output
