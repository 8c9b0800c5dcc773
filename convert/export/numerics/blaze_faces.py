"""Raw outputs of BlazeFace to faces: boxes and scores."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from convert.export.numerics.fragment import PREFIX, Array, Fragment, Shape, constant, node
from runtime.artifact.manifest import TensorSpec

VALUES = 16  # per anchor: box center, width and height, then six keypoints; all in px
BOX = 4  # the first values
LARGEST_LOGIT = np.float32(80)  # e^80 still is a float32


@dataclass(frozen=True, slots=True)
class BlazeFaces:
    """Faces as MediaPipe decodes BlazeFace; an anchor is the center of a cell of a grid.

        score = sigmoid(clip(logit, -80, 80))
        box center = anchor + offset, box width and height as they are

    Its keypoints are left out: there are the eyes, but no corners of the mouth.

    Source: MediaPipe, calculators/tflite/tflite_tensors_to_detections_calculator.cc and
    ssd_anchors_calculator.cc.
    """

    side: int  # px of the graph's input
    strides: tuple[int, ...]  # px per cell of each grid
    anchors_per_cell: tuple[int, ...]  # of each grid

    def expected_shapes(self, inputs: Sequence[TensorSpec]) -> tuple[Shape, ...]:
        """Return (N, A, VALUES) and (N, A, 1)."""
        del inputs
        count = len(self._anchors())
        return ("N", count, VALUES), ("N", count, 1)

    def tensors(
        self, shapes: Sequence[tuple[int, ...]], inputs: Sequence[TensorSpec]
    ) -> tuple[TensorSpec, ...]:
        """Return `boxes_xyxy` (N, A, 4) and `scores` (N, A, 1)."""
        del inputs
        count = shapes[0][1]
        return (
            TensorSpec("boxes_xyxy", "float32", ("N", count, 4)),
            TensorSpec("scores", "float32", ("N", count, 1)),
        )

    def apply(self, *outputs: Array) -> Mapping[str, Array]:
        """Decode regressors and logits: boxes in px of the graph's input."""
        values, logits = outputs
        center = values[..., :2] + self._anchors()
        half = values[..., 2:BOX] / 2
        clipped = logits.clip(-LARGEST_LOGIT, LARGEST_LOGIT)
        return {
            "boxes_xyxy": np.concatenate([center - half, center + half], axis=2),
            "scores": (1 / (1 + np.exp(-clipped))).astype(np.float32),
        }

    def nodes(self, *sources: str) -> Fragment:
        """Return the formula."""
        values, logits = sources
        p = PREFIX
        parts = [p + "offset", p + "size", p + "points"]
        return Fragment(
            (
                node("Split", [values, p + "parts"], parts, "split", axis=2),
                node("Add", [p + "offset", p + "anchors"], [p + "center"], "place"),
                node("Mul", [p + "size", p + "half"], [p + "reach"], "halve"),
                node("Sub", [p + "center", p + "reach"], [p + "first"], "first"),
                node("Add", [p + "center", p + "reach"], [p + "last"], "last"),
                node("Concat", [p + "first", p + "last"], ["boxes_xyxy"], "corners", axis=2),
                node("Clip", [logits, p + "low", p + "high"], [p + "logits"], "clip"),
                node("Sigmoid", [p + "logits"], ["scores"], "score"),
            ),
            (
                constant("parts", np.array([2, BOX - 2, VALUES - BOX], np.int64)),
                constant("anchors", self._anchors()),
                constant("half", np.float32(0.5)),
                constant("low", -LARGEST_LOGIT),
                constant("high", LARGEST_LOGIT),
            ),
        )

    def _anchors(self) -> Array:
        """Return the center of each anchor in px, (A, 2): x, y."""
        grids = []
        for stride, repeats in zip(self.strides, self.anchors_per_cell, strict=True):
            cells = np.arange(self.side // stride)
            grid = np.stack(np.meshgrid(cells, cells), axis=2).reshape(-1, 2)
            grids.append(np.repeat((grid + 0.5) * stride, repeats, axis=0))
        return np.concatenate(grids).astype(np.float32)
