"""Drawn walkers with all that the student is taught about them."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import astuple, dataclass
from multiprocessing import get_context

import numpy as np
from numpy.typing import NDArray

from convert.walkers import FRAMES, LABELS, SIDE, TRAINING, clip
from convert.walkers.gaits import MILDEST, Gait, draw_gait

AHEAD = 4  # batches drawn ahead
APART = 1_000_000  # walkers whose single frames are shown: none of those whose clips are


@dataclass(frozen=True, slots=True)
class Example:
    """One clip and its answers."""

    frames: NDArray[np.uint8]  # (T, side, side, 3)
    label: int
    pose: NDArray[np.float32]  # (T, J, 2) in sides of the picture
    gait: NDArray[np.float32]  # (P,) parameters as `flat` gives them


def draw_clip(index: int) -> Example:
    """Walker `index` of the training split."""
    return _example(index, FRAMES)


def draw_moments(index: int) -> Example:
    """Two frames of another walker: for poses, many walkers teach more than many moments."""
    return _example(APART + index, 2)


def drawn(
    draw: Callable[[int], Example], *, batch: int, steps: int, workers: int, first: int = 0
) -> Iterator[list[Example]]:
    """Batches of examples number `first` and following, drawn ahead by other processes."""
    # spawned: a fork would share this process's torch threads
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        waiting: list[list[Future[Example]]] = []
        for step in range(steps + AHEAD):
            if step < steps:
                numbers = range(first + step * batch, first + (step + 1) * batch)
                waiting.append([pool.submit(draw, number) for number in numbers])
            if step >= AHEAD:
                yield [future.result() for future in waiting.pop(0)]


def flat(gait: Gait) -> NDArray[np.float32]:
    """(P,) all parameters of a gait."""
    return np.hstack(astuple(gait)).astype(np.float32)


def spread(count: int = 3000) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(P,) mean and (P,) standard deviation of the parameters over walkers of all classes."""
    rng = np.random.default_rng(0)
    gaits = [draw_gait(rng, LABELS[i % len(LABELS)], rng.uniform(MILDEST, 1)) for i in range(count)]
    parameters = np.stack([flat(gait) for gait in gaits])
    return parameters.mean(0), parameters.std(0)


def _example(index: int, frame_count: int) -> Example:
    walk = clip(TRAINING, index, frame_count=frame_count)
    pose = (walk.pose / SIDE).astype(np.float32)
    return Example(walk.frames, LABELS.index(walk.label), pose, flat(walk.gait))
