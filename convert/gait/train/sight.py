"""The student's own eyes, by the runtime that will serve it: joints in float and in 8 bits."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from convert.export.frameworks.torch_module import TorchNetwork
from convert.gait.train.examples import Example
from convert.quantize.quantizer import QuantizationConfig, Quantizer, all_op_types
from convert.samples.walkers import FRAMES, SIDE

OBSERVED = 2  # batches whose ranges the 8 bits are made for


class Sight:
    """Finds joints, two to four times as fast as the framework, and with the mistakes of serving.

    Every other walk is seen in 8 bits: who learns to judge from both is not upset by either.
    """

    def __init__(self, student: Any, observed: Iterable[NDArray[np.float32]]) -> None:
        """Export and quantize.

        Args:
            student: a GaitStudent; put into eval mode.
            observed: (N, 16, 3, H, W) float32, as the student takes them, for ranges.
        """
        shape = {"frames": (FRAMES, 3, SIDE, SIDE)}
        graph = TorchNetwork(student.eval(), inputs=shape, method="locate").export()
        self._input = graph.graph.input[0].name
        feeds = [{self._input: clip[np.newaxis]} for batch in observed for clip in batch]
        in_8_bits = Quantizer(graph, feeds).quantize(QuantizationConfig(all_op_types()))
        self._sessions = [_session(model) for model in (graph, in_8_bits)]

    def locate(self, clips: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """(16, 2, J) for each of (N, 16, 3, H, W)."""
        for index, clip in enumerate(clips):
            session = self._sessions[index % 2]
            (found,) = session.run(None, {self._input: clip[np.newaxis]})
            yield found[0]


def as_seen(student: Any, batches: Iterator[list[Example]], levels: Any) -> Iterator[list[Example]]:
    """The same walks, without frames, and where the student sees the joints.

    Args:
        student: a GaitStudent.
        batches: drawn clips.
        levels: takes a batch to (N, 16, 3, H, W) torch float32.
    """
    first = [next(batches) for _ in range(OBSERVED)]
    sight = Sight(student, [levels(batch).numpy() for batch in first])
    for batch in chain(first, batches):  # the clips themselves are never held together
        yield _seen(sight, batch, levels(batch).numpy())


def _seen(sight: Sight, batch: Sequence[Example], clips: NDArray[np.float32]) -> list[Example]:
    return [
        # a copy: a view would keep all frames in memory
        Example(example.frames[:0].copy(), example.pose, example.label, seen)
        for example, seen in zip(batch, sight.locate(clips), strict=True)
    ]


def _session(model: Any) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model.SerializeToString(), options)
