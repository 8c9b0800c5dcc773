"""Overlap of predicted masks with masks made by hand."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.commands.evaluate.cases import CasesError
from runtime.errors import InputError
from runtime.media.images.decode import decode_image

CHANGED = 0.005  # a case whose IoU moves by more is listed


@dataclass(frozen=True, slots=True)
class MaskScores:
    """The scores of one image: IoU of pixels over a half, MAE of all pixels, both in [0, 1]."""

    file: str
    iou_before: float
    iou_after: float
    mae_before: float
    mae_after: float

    @property
    def change(self) -> float:
        """Return how much IoU rises from before to after."""
        return self.iou_after - self.iou_before


@dataclass(frozen=True, slots=True)
class Overlap:
    """The scores of all images with masks."""

    scores: tuple[MaskScores, ...]

    @property
    def changed(self) -> list[MaskScores]:
        """Return the images whose IoU moves by more than CHANGED, the worst first."""
        moved = [image for image in self.scores if abs(image.change) > CHANGED]
        return sorted(moved, key=lambda image: image.change)

    def values(self, name: str) -> NDArray[np.float64]:
        """Return one field of `MaskScores` for all images, (N,)."""
        return np.array([getattr(image, name) for image in self.scores])

    def to_json(self) -> dict[str, Any]:
        """Return means and 5th percentiles before and after, each image, and the changes."""
        means = {
            f"{name}_{side}": float(self.values(f"{name}_{side}").mean())
            for name in ("iou", "mae")
            for side in ("before", "after")
        }
        percentiles = {
            f"iou_p05_{side}": float(np.percentile(self.values(f"iou_{side}"), 5))
            for side in ("before", "after")
        }
        return {
            "cases": len(self.scores),
            **means,
            **percentiles,
            "net_change": means["iou_after"] - means["iou_before"],
            "images": [asdict(image) for image in self.scores],
            "changed": [asdict(image) for image in self.changed],
        }


def read_mask(path: Path, height: int, width: int) -> NDArray[np.float32]:
    """Read the mask of an image with `height` x `width` pixels as (H, W) in [0, 1].

    Raises:
        CasesError: unreadable, or of another size.
    """
    try:
        image = decode_image(path.read_bytes())
    except InputError as error:
        raise CasesError(f"{path}: {error}") from error
    if image.shape[:2] != (height, width):
        size = f"{image.shape[1]} x {image.shape[0]}"
        raise CasesError(f"{path} has {size} px; its image has {width} x {height}")
    return (image.mean(axis=2) / 255).astype(np.float32)


def iou(mask: NDArray[np.float32], alpha: NDArray[np.float32]) -> float:
    """Return the intersection over union of the pixels over a half; 1 if neither has any."""
    a, b = mask > 0.5, alpha > 0.5
    union = np.count_nonzero(a | b)
    return float(np.count_nonzero(a & b) / union) if union else 1.0


def mae(mask: NDArray[np.float32], alpha: NDArray[np.float32]) -> float:
    """Return the mean absolute difference of all pixels."""
    return float(np.abs(mask - alpha).mean())
