"""MobileNetV2 as every adapter runs it: the same decoding and preprocessing, and onnxruntime."""

import os
from collections.abc import Mapping
from typing import get_args

# before the imports: these libraries start one thread per CPU, in each worker
os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import onnxruntime as ort
import orjson
from numpy.typing import NDArray

from runtime.artifact.steps import Interpolation
from runtime.media.images.decode import decode_image
from runtime.media.images.resize import resize


def read_interpolation(environ: Mapping[str, str]) -> Interpolation:
    """Return how photos are resized: as the artifact says, whose file is served."""
    names: tuple[Interpolation, ...] = get_args(Interpolation)
    return next(name for name in names if name == environ["PEER_INTERPOLATION"])


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
        self._interpolation = read_interpolation(os.environ)

    def embed(self, data: bytes) -> NDArray[np.float32]:
        """Return the embedding (1280,) float32 of an encoded image."""
        pixels = decode_image(data)
        image = resize(
            pixels, height=self._height, width=self._width, interpolation=self._interpolation
        )
        (embedding,) = self._session.run(["embedding"], {self._input: image[None]})
        row: NDArray[np.float32] = embedding[0]
        return row

    def answer(self, data: bytes) -> bytes:
        """Return the embedding of an encoded image as JSON."""
        return orjson.dumps({"embedding": self.embed(data)}, option=orjson.OPT_SERIALIZE_NUMPY)
