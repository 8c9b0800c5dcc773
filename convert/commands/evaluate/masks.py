"""Masks: what two files cut out, against masks made by hand."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.commands.evaluate.cases import CasesError
from runtime.errors import InputError
from runtime.media.images.decode import decode_image

CHANGED = 0.005  # of IoU: a case that moved by more is listed


@dataclass(frozen=True, slots=True)
class Cut:
    """One image. IoU of what is above a half, MAE of all pixels, both in [0, 1]."""

    file: str
    iou_before: float
    iou_after: float
    mae_before: float
    mae_after: float

    @property
    def change(self) -> float:
        """Of IoU."""
        return self.iou_after - self.iou_before


@dataclass(frozen=True, slots=True)
class Overlaps:
    """All images with masks."""

    cuts: tuple[Cut, ...]

    @property
    def changed(self) -> list[Cut]:
        """Those whose IoU moved by more than CHANGED, the worst first."""
        moved = [cut for cut in self.cuts if abs(cut.change) > CHANGED]
        return sorted(moved, key=lambda cut: cut.change)

    def values(self, name: str) -> NDArray[np.float64]:
        """A field of `Cut` over all images."""
        return np.array([getattr(cut, name) for cut in self.cuts])

    def to_json(self) -> dict[str, Any]:
        """Means and 5th percentiles of both files, each image, and what changed."""
        summary = {
            f"{name}_{side}": float(self.values(f"{name}_{side}").mean())
            for name in ("iou", "mae")
            for side in ("before", "after")
        }
        worst = {
            f"iou_p05_{side}": float(np.percentile(self.values(f"iou_{side}"), 5))
            for side in ("before", "after")
        }
        return {
            "cases": len(self.cuts),
            **summary,
            **worst,
            "net_change": summary["iou_after"] - summary["iou_before"],
            "images": [asdict(cut) for cut in self.cuts],
            "changed": [asdict(cut) for cut in self.changed],
        }


def read_mask(path: Path, height: int, width: int) -> NDArray[np.float32]:
    """(H, W) in [0, 1], of the size of its image.

    Raises:
        CasesError: unreadable, or of another size.
    """
    try:
        image = decode_image(path.read_bytes())
    except InputError as error:
        raise CasesError(f"{path}: {error}") from error
    if image.shape[:2] != (height, width):
        found = f"{image.shape[1]} x {image.shape[0]}"
        raise CasesError(f"{path} has {found} px; its image has {width} x {height}")
    return (image.mean(axis=2) / 255).astype(np.float32)


def iou(mask: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    """Intersection over union of what is above a half; 1 where neither has any."""
    a, b = mask > 0.5, found > 0.5
    union = np.count_nonzero(a | b)
    return float(np.count_nonzero(a & b) / union) if union else 1.0


def mae(mask: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    """Mean absolute difference of all pixels."""
    return float(np.abs(mask - found).mean())
