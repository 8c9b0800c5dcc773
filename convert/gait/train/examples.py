"""Drawn walkers with what the student is taught about them."""

import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from convert.samples.walkers import JOINTS, LABELS, SIDE, TRAINING, SyntheticGaitClip, generate_clip

AHEAD = 4  # batches drawn ahead
APART = 1_000_000  # between the walkers of moments, tracks and clips: none is shown twice
GRAINY = 0.3  # share of the examples with much noise
SIDEWAYS = 0.6  # sine of the azimuth from which near and far are plainer than left and right

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Example:
    """A walker."""

    frames: NDArray[np.uint8]  # (T, side, side, 3)
    pose: NDArray[np.float32]  # (T, 2, J) x and y in sides of the picture
    label: int
    seen: NDArray[np.float32] | None = None  # (T, 2, J) the pose as a student sees it


def draw_moments(index: int) -> Example:
    """Two frames of a walker: for poses, many walkers teach more than many moments."""
    return _example(generate_clip(TRAINING, APART + index, frame_count=2))


def draw_track(index: int) -> Example:
    """A walk as joints alone, without frames."""
    return _example(generate_clip(TRAINING, 2 * APART + index, with_frames=False))


def draw_clip(index: int) -> Example:
    """A whole clip."""
    return _example(generate_clip(TRAINING, index))


def drawn(draw: Callable[[int], T], *, batch: int, count: int, workers: int) -> Iterator[list[T]]:
    """`count` batches of examples number 0, 1, ..., drawn ahead by other processes."""
    # spawned: a fork would share this process's torch threads
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        waiting: list[list[Future[T]]] = []
        for number in range(count + AHEAD):
            if number < count:
                wanted = range(number * batch, (number + 1) * batch)
                waiting.append([pool.submit(draw, index) for index in wanted])
            if number >= AHEAD:
                yield [future.result() for future in waiting.pop(0)]


def by_sight(walk: SyntheticGaitClip) -> NDArray[np.float32]:
    """(T, 2, J) pose in sides of the picture, with the limbs told apart as one can see them.

    From the side, `left` becomes the side near the camera; from before and behind, the one on the
    left of the picture. Which leg is anatomically the left one hardly shows in a frame: a network
    asked for it answers with the middle between both legs.
    """
    azimuth = np.radians(walk.camera.azimuth)
    from_the_side = abs(np.sin(azimuth)) > SIDEWAYS
    swapped = np.sin(azimuth) < 0 if from_the_side else np.cos(azimuth) > 0
    order = other_side() if swapped else list(range(len(JOINTS)))
    return (walk.pose[:, order] / SIDE).transpose(0, 2, 1).astype(np.float32)


def other_side() -> list[int]:
    """For each joint, the one of the other side."""
    swap = {"left": "right", "right": "left"}
    names = ("_".join(swap.get(part, part) for part in joint.split("_")) for joint in JOINTS)
    return [JOINTS.index(name) for name in names]


def shaken(
    rng: np.random.Generator, poses: NDArray[np.float32], *, most: float = 1.0
) -> NDArray[np.float32]:
    """(N, T, 2, J) poses made uncertain: noise, and joints misplaced.

    At 1 as uncertain as those that a network sees.
    """
    shape = (len(poses), 1, 1, 1)
    noise = rng.uniform(0, 0.02 * most, shape) * rng.standard_normal(poses.shape)
    misplaced = rng.uniform(0, 0.015 * most, shape) * rng.standard_normal(
        (len(poses), 1, *poses.shape[2:])
    )
    return (poses + noise + misplaced).astype(np.float32)


def grainy(rng: np.random.Generator, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Three in ten with far more noise than a camera in good light has; the others unchanged."""
    if rng.random() >= GRAINY or not len(frames):
        return frames
    noise = rng.standard_normal(frames.shape, np.float32) * rng.uniform(5, 30)
    return np.clip(frames + noise + 0.5, 0, 255).astype(np.uint8)


def _example(walk: SyntheticGaitClip) -> Example:
    seed = zlib.crc32(walk.pose.tobytes())
    frames = grainy(np.random.default_rng(seed), walk.frames)
    return Example(frames, by_sight(walk), LABELS.index(walk.label))
