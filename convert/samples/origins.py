"""Photos of one origin: a photo's variants prove no more than the photo itself.

Two photos count as one if they look alike: another size, brightness or compression, a narrow crop,
or a mirrored copy. Other crops and rotations are not recognized.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from runtime.engine.session import Feeds

SIDE = 16  # of the grid whose neighbours are compared
LARGEST_DISTANCE = 25  # of SIDE * SIDE comparisons that may differ
IMAGE = "image"

Fingerprint = NDArray[np.bool_]


def distinct_rows(samples: Sequence[Feeds], seen: Sequence[Feeds] = ()) -> tuple[int, ...]:
    """Return the indices of one sample per origin, the first of each, in order.

    Args:
        samples: preprocessed, batch axis 1. Media other than photos are each their own origin.
        seen: samples whose origins do not count, because calibration or the search used them.
    """
    if not samples or IMAGE not in samples[0] or samples[0][IMAGE].ndim != 4:
        return tuple(range(len(samples)))
    known = [fingerprint(feeds[IMAGE][0]) for feeds in seen]
    rows = []
    for row, feeds in enumerate(samples):
        image = feeds[IMAGE][0]
        prints = fingerprint(image), fingerprint(image[:, ::-1])
        if not any(_alike(one, other) for one in prints for other in known):
            rows.append(row)
            known.append(prints[0])
    return tuple(rows)


def fingerprint(image: NDArray[np.uint8]) -> Fingerprint:
    """Return where the picture gets darker from left to right, on a coarse grid."""
    grey = image.mean(axis=2, dtype=np.float32)
    small = cv2.resize(grey, (SIDE + 1, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small[:, :-1] > small[:, 1:] + 0.5)


def _alike(one: Fingerprint, other: Fingerprint) -> bool:
    return int(np.count_nonzero(one != other)) <= LARGEST_DISTANCE
