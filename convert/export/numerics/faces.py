"""Faces decoded from a detector that gives each cell of three grids one box."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import helper

from convert.export.numerics.fragment import PREFIX, Array, Fragment, Shape, constant
from runtime.artifact.manifest import TensorSpec

STRIDES = (8, 16, 32)  # graph-input px per cell of each grid
KEYPOINTS = 5
WIDTHS = (1, 1, 4, 2 * KEYPOINTS)  # class score, objectness, box, keypoints


@dataclass(frozen=True, slots=True)
class Faces:
    """Boxes, scores and keypoints of YuNet, by the arithmetic of OpenCV's FaceDetectorYN.

    Of a cell in column x and row y of its grid: the score is the geometric mean of class score and
    objectness, the box is centred at ((x, y) + offset) * stride and exp(size) * stride wide and
    high, a keypoint lies at ((x, y) + offset) * stride. Cells count from their top left corner.

    The five keypoints are the person's right eye, left eye, tip of the nose, right and left corner
    of the mouth: of a face looking at the camera, the right eye is left of the left one.

    Source: OpenCV modules/objdetect/src/face_detect.cpp.
    """

    height: int  # px, of the graph's input; a multiple of the coarsest stride
    width: int

    def expected_shapes(self, inputs: Sequence[TensorSpec]) -> tuple[Shape, ...]:
        """Class scores, objectness, boxes and keypoints; of each the grids, finest first."""
        del inputs
        cells = [self.height // stride * (self.width // stride) for stride in STRIDES]
        return tuple(("N", count, width) for width in WIDTHS for count in cells)

    def tensors(
        self, shapes: Sequence[tuple[int, ...]], inputs: Sequence[TensorSpec]
    ) -> tuple[TensorSpec, ...]:
        """`boxes_xyxy` (N, A, 4), `scores` (N, A, 1) and `keypoints` (N, A, 5, 2), A cells."""
        del inputs
        count = sum(shape[1] for shape in shapes[: len(STRIDES)])
        tails = {"boxes_xyxy": (4,), "scores": (1,), "keypoints": (KEYPOINTS, 2)}
        return tuple(
            TensorSpec(name, "float32", ("N", count, *tail)) for name, tail in tails.items()
        )

    def apply(self, *raw: Array) -> Mapping[str, Array]:
        """The twelve raw outputs to boxes and keypoints in graph-input px, scores in [0, 1]."""
        classes, objects, boxes, points = (
            np.concatenate(raw[at : at + len(STRIDES)], axis=1)
            for at in range(0, len(raw), len(STRIDES))
        )
        cells, strides = self._cells()
        centre = (boxes[..., :2] + cells) * strides
        half = np.exp(boxes[..., 2:]) * strides / 2
        offsets = points.reshape(*points.shape[:2], KEYPOINTS, 2)
        return {
            "boxes_xyxy": np.concatenate([centre - half, centre + half], axis=2),
            "scores": np.sqrt(classes.clip(0, 1) * objects.clip(0, 1)),
            "keypoints": (offsets + cells[:, np.newaxis]) * strides[:, np.newaxis],
        }

    def nodes(self, *sources: str) -> Fragment:
        """Each kind as one tensor, then the formula; a multiple of a power of two is exact."""
        p = PREFIX
        node = helper.make_node
        kinds = ("classes", "objects", "boxes", "points")
        joined = (
            node("Concat", sources[at : at + len(STRIDES)], [p + kind], p + kind, axis=1)
            for kind, at in zip(kinds, range(0, len(sources), len(STRIDES)), strict=True)
        )
        cells, strides = self._cells()
        return Fragment(
            (*joined, *_scores(), *_boxes(), *_points()),
            (
                constant("zero", np.float32(0)),
                constant("one", np.float32(1)),
                constant("half", np.float32(0.5)),
                constant("cells", cells),
                constant("strides", strides),
                constant("point_axis", np.array([1], np.int64)),
                constant("point_shape", np.array([0, -1, KEYPOINTS, 2], np.int64)),
            ),
        )

    def _cells(self) -> tuple[Array, Array]:
        """(A, 2) column and row of each cell, (A, 1) px from one to the next."""
        grids = [
            np.stack(np.meshgrid(np.arange(self.width // s), np.arange(self.height // s)), axis=2)
            for s in STRIDES
        ]
        cells = [grid.reshape(-1, 2).astype(np.float32) for grid in grids]
        strides = [np.full((len(c), 1), s, np.float32) for c, s in zip(cells, STRIDES, strict=True)]
        return np.concatenate(cells), np.concatenate(strides)


def _scores() -> tuple[onnx.NodeProto, ...]:
    p = PREFIX
    node = helper.make_node
    bounds = [p + "zero", p + "one"]
    return (
        node("Clip", [p + "classes", *bounds], [p + "class"], p + "clip_class"),
        node("Clip", [p + "objects", *bounds], [p + "object"], p + "clip_object"),
        node("Mul", [p + "class", p + "object"], [p + "product"], p + "product"),
        node("Sqrt", [p + "product"], ["scores"], p + "score"),
    )


def _boxes() -> tuple[onnx.NodeProto, ...]:
    p = PREFIX
    node = helper.make_node
    return (
        node("Split", [p + "boxes"], [p + "offset", p + "size"], p + "split", axis=2),
        node("Add", [p + "offset", p + "cells"], [p + "from_corner"], p + "place"),
        node("Mul", [p + "from_corner", p + "strides"], [p + "centre"], p + "centre"),
        node("Exp", [p + "size"], [p + "in_cells"], p + "exp"),
        node("Mul", [p + "in_cells", p + "strides"], [p + "sides"], p + "sides"),
        node("Mul", [p + "sides", p + "half"], [p + "reach"], p + "halve"),
        node("Sub", [p + "centre", p + "reach"], [p + "first"], p + "first"),
        node("Add", [p + "centre", p + "reach"], [p + "last"], p + "last"),
        node("Concat", [p + "first", p + "last"], ["boxes_xyxy"], p + "corners", axis=2),
    )


def _points() -> tuple[onnx.NodeProto, ...]:
    p = PREFIX
    node = helper.make_node
    pairs, placed, axis = p + "pairs", p + "placed", p + "point_axis"
    cells, strides = p + "point_cells", p + "point_strides"
    return (
        node("Reshape", [p + "points", p + "point_shape"], [pairs], pairs),
        node("Unsqueeze", [p + "cells", axis], [cells], cells),  # folded when it is loaded
        node("Unsqueeze", [p + "strides", axis], [strides], strides),
        node("Add", [pairs, cells], [placed], placed),
        node("Mul", [placed, strides], ["keypoints"], p + "keypoints"),
    )
