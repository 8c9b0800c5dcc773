"""Walking people drawn by the project: stand-ins for clips of patients, which nobody can publish.

Articulated figures from parameters that a gait laboratory would measure, so that a class is what
its name says. Deterministic, and split by purpose: no walker of one split occurs in another. They
show that a pipeline works; a network that tells them apart has proved nothing about people.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.samples.procedural import CALIBRATION, EVALUATION, GOLDEN, SAMPLES
from convert.samples.walkers.camera import UNSEEN, VIEWS, Camera, View, draw_camera, film
from convert.samples.walkers.drawing import draw_look, paint
from convert.samples.walkers.gaits import HEALTHY, LABELS, MILDEST, Gait, draw_gait
from convert.samples.walkers.motion import JOINTS, walk

# splits beside those of all drawings; the number is part of every walker's seed
TRAINING, TEST = SAMPLES + 1, SAMPLES + 2
SEED = 0x6A17  # apart from the images' seeds

FRAMES, SIDE = 16, 224
SHORTEST_S, LONGEST_S = 1.5, 3.0

__all__ = [
    "CALIBRATION",
    "EVALUATION",
    "FRAMES",
    "GOLDEN",
    "JOINTS",
    "LABELS",
    "SAMPLES",
    "SIDE",
    "TEST",
    "TRAINING",
    "UNSEEN",
    "VIEWS",
    "SyntheticGaitClip",
    "View",
    "generate_clip",
]


@dataclass(frozen=True, slots=True)
class SyntheticGaitClip:
    """A drawn walk and everything that is true of it."""

    frames: NDArray[
        np.uint8
    ]  # (T, side, side, 3) RGB, evenly spaced in time; (0, ...) without frames
    pose: NDArray[np.float64]  # (T, J, 2) where each of JOINTS is in the frames, px
    label: str  # one of LABELS
    severity: float  # 0 for healthy walkers, else MILDEST to 1
    gait: Gait
    camera: Camera


def generate_clip(
    split: int,
    index: int,
    *,
    label: str | None = None,
    view: View | None = None,
    frame_count: int = FRAMES,
    side: int = SIDE,
    with_frames: bool = True,
) -> SyntheticGaitClip:
    """Draw one walk.

    Args:
        split: CALIBRATION, EVALUATION, GOLDEN, SAMPLES, TRAINING or TEST.
        index: which walker of the split; walkers do not depend on each other.
        label: the class; None: all in turn.
        view: where from; None: one of VIEWS.
        frame_count: frames, at least 2; more of them show the same walk more smoothly.
        side: height and width of a frame, px.
        with_frames: False leaves the frames out, where only the pose is wanted: ten times as fast.

    Raises:
        ValueError: an unknown label.
    """
    walker, camera_rng, painter = np.random.default_rng((SEED, split, index)).spawn(3)
    label = LABELS[index % len(LABELS)] if label is None else label
    severity = 0.0 if label == HEALTHY else walker.uniform(MILDEST, 1.0)
    gait = draw_gait(walker, label, severity)
    seconds = walker.uniform(SHORTEST_S, LONGEST_S)
    joints, path = walk(walker, gait, times=np.linspace(0, seconds, frame_count))
    chosen = view or VIEWS[str(camera_rng.choice(list(VIEWS)))]
    camera = draw_camera(camera_rng, chosen)
    look = draw_look(painter)
    lens = film(camera_rng, camera, path, side=side)
    pose, depths = lens.project(joints)
    frames = np.empty((0, side, side, 3), np.uint8)
    if with_frames:
        frames = paint(painter, look, pose, depths, lens)
    return SyntheticGaitClip(frames, pose, label, severity, gait, camera)
