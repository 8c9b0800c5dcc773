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
Origins = Sequence[tuple[int, ...]]  # the indices of the samples of each, in order


def distinct_rows(samples: Sequence[Feeds], seen: Sequence[Feeds] = ()) -> tuple[int, ...]:
    """Return the indices of one sample per origin, the first of each, in order.

    Args:
        samples: preprocessed, batch axis 1. Media other than photos are each their own origin.
        seen: samples whose origins do not count, because calibration or the search used them.
    """
    groups = origins((*seen, *samples))
    return tuple(rows[0] - len(seen) for rows in groups if rows[0] >= len(seen))


def origins(samples: Sequence[Feeds]) -> Origins:
    """Group samples by origin: each joins the first that it looks like.

    Args:
        samples: preprocessed, batch axis 1. Media other than photos are each their own origin.

    Returns:
        The indices of each group, in order; the groups in the order of their first sample.
    """
    if not samples or IMAGE not in samples[0] or samples[0][IMAGE].ndim != 4:
        return [(row,) for row in range(len(samples))]
    firsts: list[Fingerprint] = []
    groups: list[list[int]] = []
    for row, feeds in enumerate(samples):
        image = feeds[IMAGE][0]
        prints = fingerprint(image), fingerprint(image[:, ::-1])
        alike = (
            number
            for number, other in enumerate(firsts)
            if any(_alike(one, other) for one in prints)
        )
        number = next(alike, None)
        if number is None:
            firsts.append(prints[0])
            groups.append([row])
        else:
            groups[number].append(row)
    return [tuple(rows) for rows in groups]


def fingerprint(image: NDArray[np.uint8]) -> Fingerprint:
    """Return where the picture gets darker from left to right, on a coarse grid."""
    grey = image.mean(axis=2, dtype=np.float32)
    small = cv2.resize(grey, (SIDE + 1, SIDE), interpolation=cv2.INTER_AREA)
    return np.asarray(small[:, :-1] > small[:, 1:] + 0.5)


def _alike(one: Fingerprint, other: Fingerprint) -> bool:
    return int(np.count_nonzero(one != other)) <= LARGEST_DISTANCE
