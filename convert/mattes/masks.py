"""Masks as small as a network's, for composites whose alpha is known."""

from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np

import runtime
from convert.mattes.composites import Composite, Plane
from runtime.media.images.preprocess import preprocess

SIDE = 320  # of U-2-Net's mask, px
BLUR = 1.5  # of a network's edge, cells of the mask
SURE = (0.3, 0.7)  # where a network is already sure: its masks are nearly of two values

Masked = Callable[[Composite], Plane]  # (h, w) float32 in [0, 1]


def averaged(composite: Composite) -> Plane:
    """What no network reaches: the true alpha, averaged over each cell."""
    return np.asarray(
        cv2.resize(composite.alpha, (SIDE, SIDE), interpolation=cv2.INTER_AREA), np.float32
    )


def unsure(composite: Composite) -> Plane:
    """As networks draw: hair lost, edges a few cells wide, the rest nearly of two values."""
    blurred = cv2.GaussianBlur(averaged(composite), (0, 0), BLUR)
    share = np.clip((blurred - SURE[0]) / (SURE[1] - SURE[0]), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)


def made_by(artifact: Path) -> Masked:
    """The masks of a real model."""
    model = runtime.load(artifact)

    def mask(composite: Composite) -> Plane:
        image = preprocess(composite.image, model.spec.preprocess)
        outputs = model.run({model.spec.inputs[0].name: image[np.newaxis]})
        return np.asarray(outputs["alpha"][0], np.float32)

    return mask


KINDS: Mapping[str, Masked] = {"averaged": averaged, "unsure": unsure}
