"""Raw outputs of YuNet to faces: boxes, scores and five keypoints."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from convert.export.numerics.fragment import PREFIX, Array, Fragment, Shape, constant, node
from runtime.artifact.manifest import TensorSpec

STRIDES = (8, 16, 32)  # px of the graph's input per cell, for each of the three grids
KEYPOINTS = 5
WIDTHS = (1, 1, 4, 2 * KEYPOINTS)  # values per cell: class score, objectness, box, keypoints


@dataclass(frozen=True, slots=True)
class Faces:
    """Faces as OpenCV's FaceDetectorYN decodes them; each cell of three grids has one candidate.

    For the cell in column x and row y of a grid, counted from the top left corner:

        score = sqrt(clip(class score, 0, 1) * clip(objectness, 0, 1))
        box center = ((x, y) + offset) * stride, box width and height = exp(size) * stride
        keypoint = ((x, y) + offset) * stride

    The keypoints are, from the person's own side, right eye, left eye, tip of the nose, right and
    left corner of the mouth. In a picture of a face that looks at the camera, the right eye is on
    the left.

    Source: OpenCV modules/objdetect/src/face_detect.cpp.
    """

    height: int  # px of the graph's input; a multiple of the coarsest stride
    width: int  # likewise

    def expected_shapes(self, inputs: Sequence[TensorSpec]) -> tuple[Shape, ...]:
        """Return twelve shapes (N, cells, values): every kind of WIDTHS, for each grid.

        They have the order of the outputs: class scores of the finest to the coarsest grid, ...
        """
        del inputs
        cells = [self.height // stride * (self.width // stride) for stride in STRIDES]
        return tuple(("N", count, width) for width in WIDTHS for count in cells)

    def tensors(
        self, shapes: Sequence[tuple[int, ...]], inputs: Sequence[TensorSpec]
    ) -> tuple[TensorSpec, ...]:
        """Return `boxes_xyxy` (N, A, 4), `scores` (N, A, 1), `keypoints` (N, A, 5, 2); A cells."""
        del inputs
        count = sum(shape[1] for shape in shapes[: len(STRIDES)])
        tails = {"boxes_xyxy": (4,), "scores": (1,), "keypoints": (KEYPOINTS, 2)}
        return tuple(
            TensorSpec(name, "float32", ("N", count, *tail)) for name, tail in tails.items()
        )

    def apply(self, *outputs: Array) -> Mapping[str, Array]:
        """Decode the twelve outputs: boxes and keypoints in px of the graph's input."""
        classes, objects, boxes, points = (
            np.concatenate(outputs[first : first + len(STRIDES)], axis=1)
            for first in range(0, len(outputs), len(STRIDES))
        )
        cells, strides = self._cells()
        center = (boxes[..., :2] + cells) * strides
        half = np.exp(boxes[..., 2:]) * strides / 2
        offsets = points.reshape(*points.shape[:2], KEYPOINTS, 2)
        return {
            "boxes_xyxy": np.concatenate([center - half, center + half], axis=2),
            "scores": np.sqrt(classes.clip(0, 1) * objects.clip(0, 1)),
            "keypoints": (offsets + cells[:, np.newaxis]) * strides[:, np.newaxis],
        }

    def nodes(self, *sources: str) -> Fragment:
        """Return the formula, after joining the grids of each kind along the cells.

        Multiplying by a stride is exact, because strides are powers of two.
        """
        p = PREFIX
        kinds = ("classes", "objects", "boxes", "points")
        grids_of_each_kind = range(0, len(sources), len(STRIDES))
        concats = (
            node("Concat", sources[first : first + len(STRIDES)], [p + kind], kind, axis=1)
            for kind, first in zip(kinds, grids_of_each_kind, strict=True)
        )
        cells, strides = self._cells()
        return Fragment(
            (*concats, *_score_nodes(), *_box_nodes(), *_keypoint_nodes()),
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
        """Return column and row of each cell, (A, 2), and its stride in px, (A, 1)."""
        grids = [
            np.stack(np.meshgrid(np.arange(self.width // s), np.arange(self.height // s)), axis=2)
            for s in STRIDES
        ]
        cells = [grid.reshape(-1, 2).astype(np.float32) for grid in grids]
        strides = [np.full((len(c), 1), s, np.float32) for c, s in zip(cells, STRIDES, strict=True)]
        return np.concatenate(cells), np.concatenate(strides)


def _score_nodes() -> tuple[onnx.NodeProto, ...]:
    p = PREFIX
    bounds = [p + "zero", p + "one"]
    return (
        node("Clip", [p + "classes", *bounds], [p + "class"], "clip_class"),
        node("Clip", [p + "objects", *bounds], [p + "object"], "clip_object"),
        node("Mul", [p + "class", p + "object"], [p + "product"], "product"),
        node("Sqrt", [p + "product"], ["scores"], "score"),
    )


def _box_nodes() -> tuple[onnx.NodeProto, ...]:
    p = PREFIX
    return (
        node("Split", [p + "boxes"], [p + "offset", p + "size"], "split", axis=2),
        node("Add", [p + "offset", p + "cells"], [p + "from_corner"], "place"),
        node("Mul", [p + "from_corner", p + "strides"], [p + "centre"], "centre"),
        node("Exp", [p + "size"], [p + "in_cells"], "exp"),
        node("Mul", [p + "in_cells", p + "strides"], [p + "sides"], "sides"),
        node("Mul", [p + "sides", p + "half"], [p + "reach"], "halve"),
        node("Sub", [p + "centre", p + "reach"], [p + "first"], "first"),
        node("Add", [p + "centre", p + "reach"], [p + "last"], "last"),
        node("Concat", [p + "first", p + "last"], ["boxes_xyxy"], "corners", axis=2),
    )


def _keypoint_nodes() -> tuple[onnx.NodeProto, ...]:
    p = PREFIX
    pairs, placed, axis = p + "pairs", p + "placed", p + "point_axis"
    cells, strides = p + "point_cells", p + "point_strides"
    return (
        node("Reshape", [p + "points", p + "point_shape"], [pairs], "pairs"),
        # onnxruntime folds both Unsqueeze when it loads the graph
        node("Unsqueeze", [p + "cells", axis], [cells], "point_cells"),
        node("Unsqueeze", [p + "strides", axis], [strides], "point_strides"),
        node("Add", [pairs, cells], [placed], "placed"),
        node("Mul", [placed, strides], ["keypoints"], "keypoints"),
    )
