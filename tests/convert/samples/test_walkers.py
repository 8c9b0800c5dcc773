from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from convert.samples.walkers import (
    CALIBRATION,
    EVALUATION,
    GOLDEN,
    JOINTS,
    LABELS,
    SAMPLES,
    TEST,
    TRAINING,
    UNSEEN,
    VIEWS,
    generate_clip,
)
from convert.samples.walkers.camera import aim, generate_camera
from convert.samples.walkers.gaits import MIN_SEVERITY, generate_gait
from convert.samples.walkers.motion import ANKLE_HEIGHT, curve, simulate_walk
from convert.samples.walkers.rendering import Appearance, generate_appearance, render_frames

SPLITS = (CALIBRATION, EVALUATION, GOLDEN, SAMPLES, TRAINING, TEST)
RATE_HZ = 60
Joints = dict[str, NDArray[np.float64]]  # (T, 3) each


def test_clips_have_sixteen_frames_of_224_px_and_repeat() -> None:
    first, again = generate_clip(SAMPLES, 3), generate_clip(SAMPLES, 3)
    assert first.frames.shape == (16, 224, 224, 3)
    assert first.frames.dtype == np.uint8
    assert first.pose.shape == (16, len(JOINTS), 2)
    assert first.label == LABELS[3]
    np.testing.assert_array_equal(first.frames, again.frames)


def test_no_walker_is_in_two_splits() -> None:
    clips = [generate_clip(split, index, side=64) for split in SPLITS for index in range(4)]
    assert len({c.frames.tobytes() for c in clips}) == len(clips)
    assert len({c.gait for c in clips}) == len(clips)


def test_classes_take_turns_and_only_healthy_walkers_have_no_severity() -> None:
    clips = [generate_clip(EVALUATION, index, side=64) for index in range(2 * len(LABELS))]
    assert [c.label for c in clips] == [*LABELS, *LABELS]
    for c in clips:
        assert c.severity == 0 if c.label == "normal" else MIN_SEVERITY <= c.severity <= 1


def test_an_unknown_label_is_refused() -> None:
    with pytest.raises(ValueError, match="'limping'; known gaits: normal, hemiparetic"):
        generate_clip(SAMPLES, 0, label="limping")


def test_frames_have_contrast_and_movement() -> None:
    for index in range(6):
        frames = generate_clip(EVALUATION, index).frames.astype(float)
        assert frames.std() > 5  # levels
        assert np.abs(np.diff(frames, axis=0)).mean() > 0.5  # levels between frames


def test_the_walker_is_rendered_at_the_joints_of_the_pose() -> None:
    gait = generate_gait(np.random.default_rng(0), "normal", 0.0)
    joints, path = simulate_walk(np.random.default_rng(0), gait, times=np.linspace(0, 1, 4))
    camera = generate_camera(np.random.default_rng(0), VIEWS["side"])
    lens = aim(np.random.default_rng(0), camera, path, side=224)
    appearances = [_dressed_in(level) for level in (20.0, 235.0)]
    pose, depths = lens.project(joints)
    dark, light = [
        render_frames(np.random.default_rng(0), appearance, pose, depths, lens)
        for appearance in appearances
    ]
    for walker, joints_px in zip(light.max(-1) > dark.max(-1) + 50.0, pose, strict=True):
        assert np.mean([walker[round(y), round(x)] for x, y in joints_px]) > 0.9
        pixels = np.argwhere(walker)[:, ::-1]  # x, y
        margin = 20  # px from the outermost joints to the outline of the body
        assert (pixels > joints_px.min(0) - margin).all()
        assert (pixels < joints_px.max(0) + margin).all()


def test_more_frames_show_the_same_walk() -> None:
    few, many = generate_clip(SAMPLES, 1, frame_count=6), generate_clip(SAMPLES, 1, frame_count=26)
    # the camera trembles by a few px at most, in every frame anew
    np.testing.assert_allclose(few.pose, many.pose[::5], atol=4)


def test_the_walker_stays_in_the_picture() -> None:
    inside = [
        ((p >= 0) & (p <= 224)).all(-1)
        for p in (generate_clip(EVALUATION, i).pose for i in range(24))
    ]
    assert np.mean(inside) > 0.95  # of all joints in all frames


def test_unseen_viewpoints_are_outside_the_ranges_of_the_others() -> None:
    low, high = UNSEEN.azimuth
    for view in VIEWS.values():
        for bound in view.azimuth:
            assert not low - 3 < bound < high + 3  # degrees
    azimuths = {abs(generate_clip(TEST, i, view=UNSEEN, side=32).camera.azimuth) for i in range(12)}
    assert all(low <= min(a, 180 - a) <= high for a in azimuths)


@pytest.mark.parametrize("label", LABELS)
def test_feet_do_not_slide_on_the_ground_or_go_below_it(label: str) -> None:
    joints = _walk(label, seed=1)
    for side in ("left", "right"):
        soles = np.minimum(joints[f"{side}_heel"][:, 2], joints[f"{side}_toe"][:, 2])
        assert soles.min() > -0.01  # body heights; between two moments of the path
    ankles = [joints[f"{side}_ankle"][:, 0] for side in ("left", "right")]
    speeds = np.abs(np.diff(ankles, axis=1)) * RATE_HZ
    # at most moments one foot moves far more slowly than the body
    pelvis = np.diff(joints["pelvis"][:, 0]).mean() * RATE_HZ
    assert np.median(speeds.min(axis=0)) < 0.25 * pelvis


def test_hemiparetic_walkers_keep_one_knee_stiff_and_one_arm_bent() -> None:
    for seed in range(4):
        joints = _walk("hemiparetic", seed=seed)
        knees, elbows = (
            [_angle(joints, s, parts) for s in ("left", "right")]
            for parts in (("hip", "knee", "ankle"), ("shoulder", "elbow", "hand"))
        )
        ranges = [float(np.ptp(knee)) for knee in knees]
        stiff = int(np.argmin(ranges))
        assert ranges[stiff] < 0.6 * ranges[1 - stiff]
        assert np.median(elbows[stiff]) > 70  # degrees
        assert np.median(elbows[stiff]) > np.median(elbows[1 - stiff])


def test_parkinsonian_walkers_stoop_and_shuffle() -> None:
    for seed in range(4):
        healthy, ill = _walk("normal", seed=seed), _walk("parkinsonian", seed=seed)
        assert _lean(ill) > 15 > _lean(healthy)  # degrees
        assert _step_length(ill) < 0.6 * _step_length(healthy)
        assert np.ptp(ill["left_hand"][:, 0] - ill["left_shoulder"][:, 0]) < 0.12  # body heights


def test_antalgic_walkers_spare_one_leg() -> None:
    for seed in range(4):
        gait = generate_gait(np.random.default_rng(seed), "antalgic", 1.0)
        spared = int(np.argmin(gait.stance))
        assert gait.stance[1 - spared] - gait.stance[spared] > 0.15  # of the stride
        joints = _walk("antalgic", seed=seed)
        sideways = joints["neck"][:, 1] - joints["pelvis"][:, 1]
        side = 1.0 if spared == 0 else -1.0
        assert (side * sideways).max() > 2 * (-side * sideways).max()


def test_ataxic_walkers_step_wide_and_unevenly() -> None:
    for seed in range(4):
        healthy, ill = _walk("normal", seed=seed), _walk("ataxic", seed=seed)
        assert _width(ill) > 1.6 * _width(healthy)
        assert ill["neck"][:, 1].std() > 1.5 * healthy["neck"][:, 1].std()


def test_steppage_walkers_lift_a_knee_high_with_the_toes_down() -> None:
    for seed in range(4):
        healthy, ill = _walk("normal", seed=seed), _walk("steppage", seed=seed)
        lifts = [
            max((j[f"{s}_knee"][:, 2] - j["pelvis"][:, 2]).max() for s in ("left", "right"))
            for j in (healthy, ill)
        ]
        assert lifts[1] > lifts[0] + 0.03  # body heights
        drops = [(ill[f"{s}_heel"] - ill[f"{s}_toe"])[:, 2] for s in ("left", "right")]
        assert max(drop.max() for drop in drops) > 0.08  # body heights


def test_severity_zero_is_a_healthy_gait() -> None:
    for label in LABELS:
        healthy = generate_gait(np.random.default_rng(5), "normal", 0.0)
        assert generate_gait(np.random.default_rng(5), label, 0.0) == healthy


def test_curves_go_through_their_extremes_and_are_periodic() -> None:
    extremes = ((0.1, 0.0), (0.6, 10.0))
    values = curve(np.array([0.1, 0.35, 0.6, 0.85, 0.0]), extremes)
    # cosine easing: half the time is half the way; phase 0.0 is four fifths of the way back down
    expected = [0.0, 5.0, 10.0, 5.0, 10 * (0.5 + 0.5 * np.cos(0.8 * np.pi))]
    np.testing.assert_allclose(values, expected, atol=1e-9)


def _walk(label: str, *, seed: int) -> Joints:
    """Simulate six seconds of a walker of full severity."""
    gait = generate_gait(np.random.default_rng(seed), label, 1.0)
    joints, _ = simulate_walk(np.random.default_rng(seed), gait, times=np.arange(0, 6, 1 / RATE_HZ))
    return {name: joints[:, index] for index, name in enumerate(JOINTS)}


def _dressed_in(level: float) -> Appearance:
    grey = (level, level, level)
    appearance = generate_appearance(np.random.default_rng(0))
    return replace(appearance, skin=grey, hair=grey, top=grey, bottom=grey, shoe=grey)


def _angle(joints: Joints, side: str, parts: tuple[str, str, str]) -> NDArray[np.float64]:
    """Return the flexion of the middle joint, degrees; 0 is straight."""
    above, middle, below = (joints[f"{side}_{part}"] for part in parts)
    one, two = middle - above, below - middle
    cosine = (one * two).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(two, axis=1)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def _lean(joints: Joints) -> float:
    trunk = (joints["neck"] - joints["pelvis"]).mean(0)
    return float(np.degrees(np.arctan2(trunk[0], trunk[2])))


def _step_length(joints: Joints) -> float:
    """Return the largest distance of the feet along the walk, body heights."""
    return float(np.abs(joints["left_ankle"][:, 0] - joints["right_ankle"][:, 0]).max())


def _width(joints: Joints) -> float:
    """Return the distance of the feet across the walk, body heights."""
    low = [joints[f"{s}_ankle"][:, 2] < 1.3 * ANKLE_HEIGHT for s in ("left", "right")]
    lateral = [joints[f"{s}_ankle"][:, 1] - joints["pelvis"][:, 1] for s in ("left", "right")]
    return float(np.median(lateral[0][low[0]]) - np.median(lateral[1][low[1]]))
