"""Labels of media, and how well a graph's answers agree with them."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from convert.fidelity.average_precision import TrueBoxes, mean_average_precision
from convert.fidelity.boxes import select_boxes
from convert.metrics import Outputs, mask_iou
from runtime.artifact.manifest import NmsConfig

# a float graph below it proves that the labels are not of this model, and nothing about INT8
MIN_PRECISION, MIN_MASK_IOU = 0.1, 0.2

Floats = NDArray[np.float64]


class Truth(Protocol):
    """The labels of N media."""

    @property
    def output(self) -> str:
        """Return the name of the output that is compared with the labels."""
        ...

    @property
    def noun(self) -> str:
        """Return what `quality` measures."""
        ...

    @property
    def chance(self) -> float:
        """Return the quality that needs no understanding of the media."""
        ...

    def quality(self, outputs: Outputs, weights: Floats) -> Floats:
        """Return the agreement with the labels, 0 to 1, for each weighting of the media.

        Args:
            outputs: of the N media.
            weights: (R, N), how often each counts.

        Returns:
            (R,)
        """
        ...


@dataclass(frozen=True, slots=True)
class TrueClasses:
    """The class of each medium."""

    classes: tuple[int, ...]
    output: str = "probabilities"
    noun: str = "right answers"

    @property
    def chance(self) -> float:
        """Return the share that a guess among the labelled classes gets right."""
        return 1 / len(set(self.classes))

    def quality(self, outputs: Outputs, weights: Floats) -> Floats:
        """Return the share whose likeliest class is their label; none that are not finite."""
        probabilities: NDArray[np.float32] = outputs[self.output]
        is_finite = np.isfinite(probabilities).all(axis=1)
        is_right = (probabilities.argmax(axis=1) == np.array(self.classes)) & is_finite
        return _mean(is_right.astype(np.float64), weights)


@dataclass(frozen=True, slots=True)
class TrueObjects:
    """The boxes of each image."""

    boxes: tuple[TrueBoxes, ...]
    suppression: NmsConfig  # with which the detector serves
    output: str = "boxes_xyxy"
    noun: str = "mean average precision at an IoU of 0.5"
    chance: float = MIN_PRECISION

    def quality(self, outputs: Outputs, weights: Floats) -> Floats:
        """Return the mean average precision of the boxes that are served."""
        return mean_average_precision(select_boxes(outputs, self.suppression), self.boxes, weights)


@dataclass(frozen=True, slots=True)
class TrueMasks:
    """The mask of each image."""

    masks: NDArray[np.bool_]  # (N, H, W), of the size of the graph's output
    output: str = "alpha"
    noun: str = "mean IoU of masks"
    chance: float = MIN_MASK_IOU

    def quality(self, outputs: Outputs, weights: Floats) -> Floats:
        """Return the mean intersection over union of the masks at alpha 0.5."""
        pairs = zip(outputs[self.output], self.masks, strict=True)
        return _mean(np.array([mask_iou(alpha > 0.5, mask) for alpha, mask in pairs]), weights)


def _mean(values: Floats, weights: Floats) -> Floats:
    return np.asarray(weights @ values / weights.sum(axis=1))
