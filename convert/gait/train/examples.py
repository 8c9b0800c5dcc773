"""Training examples: synthetic walkers with their joints and labels."""

import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from convert.samples.walkers import JOINTS, LABELS, SIDE, TRAINING, SyntheticGaitClip, generate_clip

BATCHES_AHEAD = 4  # generated before they are needed
# numbers of walkers per kind of example, so that no walker is used for two kinds
WALKERS_PER_KIND = 1_000_000
NOISY_SHARE = 0.3  # of the examples have much sensor noise
SIDE_VIEW = (
    0.6  # |sin(azimuth)| above which legs differ more by near and far than by left and right
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Example:
    """One walker; x and y of joints are in units of the frame's side."""

    frames: NDArray[np.uint8]  # (T, side, side, 3), or (0, ...) without frames
    pose: NDArray[np.float32]  # (T, 2, J) x and y of the joints, as `visual_pose` orders them
    label: int
    estimate: NDArray[np.float32] | None = None  # (T, 2, J) joints as a student locates them


def frames_example(index: int) -> Example:
    """Generate two frames of a walker: joints are learnt better from many walkers than moments."""
    return _example(generate_clip(TRAINING, WALKERS_PER_KIND + index, frame_count=2))


def track_example(index: int) -> Example:
    """Generate the joints of a walk, without frames."""
    return _example(generate_clip(TRAINING, 2 * WALKERS_PER_KIND + index, with_frames=False))


def clip_example(index: int) -> Example:
    """Generate a whole clip."""
    return _example(generate_clip(TRAINING, index))


def generate_batches(
    generate: Callable[[int], T], *, batch: int, count: int, workers: int
) -> Iterator[list[T]]:
    """Yield `count` batches of generate(0), generate(1), ..., computed ahead in other processes."""
    # spawned: forked processes would share the state of torch's threads
    with ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        pending: list[list[Future[T]]] = []
        for number in range(count + BATCHES_AHEAD):
            if number < count:
                indices = range(number * batch, (number + 1) * batch)
                pending.append([pool.submit(generate, index) for index in indices])
            if number >= BATCHES_AHEAD:
                yield [future.result() for future in pending.pop(0)]


def visual_pose(clip: SyntheticGaitClip) -> NDArray[np.float32]:
    """Return the joints with left and right assigned by what a frame shows, (T, 2, J).

    In side views `left` is the side near the camera; from the front and from behind it is the left
    of the picture. A frame hardly shows which leg is anatomically the left one: a network that has
    to decide it answers with the middle between both legs.
    """
    azimuth = np.radians(clip.camera.azimuth)
    is_side_view = abs(np.sin(azimuth)) > SIDE_VIEW
    is_mirrored = np.sin(azimuth) < 0 if is_side_view else np.cos(azimuth) > 0
    order = mirrored_joints() if is_mirrored else list(range(len(JOINTS)))
    return (clip.pose[:, order] / SIDE).transpose(0, 2, 1).astype(np.float32)


def mirrored_joints() -> list[int]:
    """Return, for each joint, the index of the same joint of the other side."""
    swap = {"left": "right", "right": "left"}
    names = ("_".join(swap.get(part, part) for part in joint.split("_")) for joint in JOINTS)
    return [JOINTS.index(name) for name in names]


def add_pose_noise(
    rng: np.random.Generator, poses: NDArray[np.float32], *, strength: float = 1.0
) -> NDArray[np.float32]:
    """Add errors like those of a network that locates joints to (N, T, 2, J) poses.

    Each walk has noise per frame, and joints that are displaced throughout. At strength 1 they
    are about as large as a network's.
    """
    shape = (len(poses), 1, 1, 1)
    noise = rng.uniform(0, 0.02 * strength, shape) * rng.standard_normal(poses.shape)
    displacement = rng.uniform(0, 0.015 * strength, shape) * rng.standard_normal(
        (len(poses), 1, *poses.shape[2:])
    )
    return (poses + noise + displacement).astype(np.float32)


def add_sensor_noise(rng: np.random.Generator, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Add noise of 5 to 30 levels, as in poor light, to NOISY_SHARE of all clips."""
    if rng.random() >= NOISY_SHARE or not len(frames):
        return frames
    noise = rng.standard_normal(frames.shape, np.float32) * rng.uniform(5, 30)
    return np.clip(frames + noise + 0.5, 0, 255).astype(np.uint8)


def _example(clip: SyntheticGaitClip) -> Example:
    seed = zlib.crc32(clip.pose.tobytes())
    frames = add_sensor_noise(np.random.default_rng(seed), clip.frames)
    return Example(frames, visual_pose(clip), LABELS.index(clip.label))
