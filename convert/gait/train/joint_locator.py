"""Joints as the student locates them, computed by onnxruntime in float and in INT8."""

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

CALIBRATION_BATCHES = 2


class JointLocator:
    """The student's convolutions in onnxruntime: two to four times as fast as in torch.

    Every other clip goes through an INT8 graph. A classifier that is trained on joints of both
    depends on the errors of neither.
    """

    def __init__(self, student: Any, calibration: Iterable[NDArray[np.float32]]) -> None:
        """Export and quantize the convolutions.

        Args:
            student: a GaitStudent; put into eval mode.
            calibration: (N, 16, 3, H, W) float32 batches, as the student takes them.
        """
        shape = {"frames": (FRAMES, 3, SIDE, SIDE)}
        graph = TorchNetwork(student.eval(), inputs=shape, method="locate").export()
        self._input = graph.graph.input[0].name
        feeds = [{self._input: clip[np.newaxis]} for batch in calibration for clip in batch]
        quantized = Quantizer(graph, feeds).quantize(QuantizationConfig(all_op_types()))
        self._sessions = [_session(model) for model in (graph, quantized)]

    def locate(self, clips: NDArray[np.float32]) -> Iterator[NDArray[np.float32]]:
        """Yield the joints, (16, 2, J), of each of (N, 16, 3, H, W) clips."""
        for index, clip in enumerate(clips):
            session = self._sessions[index % 2]
            (joints,) = session.run(None, {self._input: clip[np.newaxis]})
            yield joints[0]


def with_estimates(
    student: Any, batches: Iterator[list[Example]], to_input: Any
) -> Iterator[list[Example]]:
    """Replace the frames of each example by the joints that the student locates in them.

    Args:
        student: a GaitStudent.
        batches: clips, read one batch at a time so that they are never in memory together.
        to_input: maps a batch to (N, 16, 3, H, W) torch float32.
    """
    first = [next(batches) for _ in range(CALIBRATION_BATCHES)]
    locator = JointLocator(student, [to_input(batch).numpy() for batch in first])
    for batch in chain(first, batches):
        yield _estimate(locator, batch, to_input(batch).numpy())


def _estimate(
    locator: JointLocator, batch: Sequence[Example], clips: NDArray[np.float32]
) -> list[Example]:
    return [
        # the empty frames are a copy, because a view would keep all frames in memory
        Example(example.frames[:0].copy(), example.pose, example.label, joints)
        for example, joints in zip(batch, locator.locate(clips), strict=True)
    ]


def _session(model: Any) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model.SerializeToString(), options)
