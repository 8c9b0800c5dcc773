"""MobileNetV2 as every adapter runs it: the same decoding and preprocessing, and onnxruntime."""

import os

# before the imports: these libraries start one thread per CPU, in each worker
os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import onnxruntime as ort
import orjson
from numpy.typing import NDArray

from runtime.media.images.decode import decode_image
from runtime.media.images.resize import resize


class MobileNet:
    """A loaded graph. Safe to use from several threads at once."""

    def __init__(self, path: str) -> None:
        """Load an ONNX file with one thread: the peers run one worker per CPU."""
        cv2.setNumThreads(1)
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = ort.InferenceSession(path, options, ["CPUExecutionProvider"])
        (image,) = self._session.get_inputs()
        _, self._height, self._width, _ = image.shape
        self._input = image.name

    def embed(self, data: bytes) -> NDArray[np.float32]:
        """Return the embedding (1280,) float32 of an encoded image."""
        size = {"height": self._height, "width": self._width}
        image = resize(decode_image(data), **size, interpolation="linear_antialias")
        (embedding,) = self._session.run(["embedding"], {self._input: image[None]})
        row: NDArray[np.float32] = embedding[0]
        return row

    def answer(self, data: bytes) -> bytes:
        """Return the embedding of an encoded image as JSON."""
        return orjson.dumps({"embedding": self.embed(data)}, option=orjson.OPT_SERIALIZE_NUMPY)
