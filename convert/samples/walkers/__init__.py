"""Synthetic gait clips, in place of clips of patients, which cannot be published.

Articulated figures walk by parameters that a gait laboratory measures, so that each class is a
change of known parameters. Generated in four steps: `gaits` (the parameters), `motion` (joints in
space), `camera` (joints in the picture), `rendering` (frames). Deterministic, and split by purpose:
no walker of one split occurs in another.

They show that the conversion works. A network that classifies them has proved nothing about people.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from convert.samples.procedural import CALIBRATION, EVALUATION, GOLDEN, SAMPLES
from convert.samples.walkers.camera import UNSEEN, VIEWS, Camera, View, aim, generate_camera
from convert.samples.walkers.gaits import (
    HEALTHY,
    LABELS,
    MIN_SEVERITY,
    GaitParameters,
    generate_gait,
)
from convert.samples.walkers.motion import JOINTS, simulate_walk
from convert.samples.walkers.rendering import generate_appearance, render_frames

# splits of walkers only, in addition to those of all synthetic media
TRAINING, TEST = SAMPLES + 1, SAMPLES + 2
SEED = 0x6A17  # other media have other seeds

FRAMES, SIDE = 16, 224
MIN_SECONDS, MAX_SECONDS = 1.5, 3.0  # of a clip

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
    """A generated walk, and the parameters that it was generated from."""

    frames: NDArray[
        np.uint8
    ]  # (T, side, side, 3) RGB, evenly spaced in time; (0, ...) without frames
    pose: NDArray[np.float64]  # (T, J, 2) x, y of each of JOINTS in the frames, px
    label: str  # one of LABELS
    severity: float  # 0 for healthy walkers, else MIN_SEVERITY to 1
    gait: GaitParameters
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
    """Generate the clip of one walker.

    Args:
        split: CALIBRATION, EVALUATION, GOLDEN, SAMPLES, TRAINING or TEST.
        index: number of the walker in its split; walkers do not depend on each other.
        label: the class; None: the classes in turn.
        view: range of viewpoints; None: one of VIEWS.
        frame_count: T, at least 2; more frames show the same walk more smoothly.
        side: height and width of a frame, px.
        with_frames: False computes the pose alone, ten times as fast.

    Raises:
        ValueError: the label is unknown.
    """
    gait_rng, camera_rng, render_rng = np.random.default_rng((SEED, split, index)).spawn(3)
    label = LABELS[index % len(LABELS)] if label is None else label
    severity = 0.0 if label == HEALTHY else gait_rng.uniform(MIN_SEVERITY, 1.0)
    gait = generate_gait(gait_rng, label, severity)
    seconds = gait_rng.uniform(MIN_SECONDS, MAX_SECONDS)
    joints, path = simulate_walk(gait_rng, gait, times=np.linspace(0, seconds, frame_count))
    view = view or VIEWS[str(camera_rng.choice(list(VIEWS)))]
    camera = generate_camera(camera_rng, view)
    appearance = generate_appearance(render_rng)
    lens = aim(camera_rng, camera, path, side=side)
    pose, depths = lens.project(joints)
    frames = np.empty((0, side, side, 3), np.uint8)
    if with_frames:
        frames = render_frames(render_rng, appearance, pose, depths, lens)
    return SyntheticGaitClip(frames, pose, label, severity, gait, camera)
