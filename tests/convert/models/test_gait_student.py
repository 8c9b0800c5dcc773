"""Gait: clips and what is known about the patient, from drawing to answer."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch  # noqa: TID253 - in a process without TensorFlow
from numpy.typing import NDArray
from onnx import TensorProto, helper

import runtime
from convert import recipe
from convert.architectures.gait_student import GaitStudent
from convert.errors import CheckpointError
from convert.export.numerics import FramesInput, Probabilities
from convert.gait import condition_embeddings as text_embedding
from convert.gait.conditions import CONDITIONS as TABLE
from convert.gait.conditions import Condition, placed_conditions, read_conditions
from convert.pipeline.job import Job
from convert.pipeline.stages import convert
from convert.recipe import Loaded
from convert.samples.media import MODALITIES
from convert.samples.media.walkers import GaitClip
from convert.samples.procedural import CALIBRATION, EVALUATION, GOLDEN
from convert.samples.sets import collate
from convert.samples.walkers import FRAMES, LABELS, SIDE
from convert.weights import resolve as weights
from runtime.artifact.manifest import CONDITIONS, Letterbox, Manifest, SampleFrames, read_manifest
from runtime.engine.session import Session
from runtime.media.images.preprocess import preprocess
from runtime.media.video.sample import sample_frames
from runtime.results import Classification
from tests.convert.support.command_line import PROJECT
from tests.convert.support.nets import convolutions

RECIPE_FILE = recipe.find("gait_student")
NAMES = ("Stroke", "Migraine", "Bunion")
BLOCK = re.compile(r"^```python\n(# own_gait\.py\n.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(autouse=True)
def vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Return unit vectors seeded by the text's length: the text model has tests of its own."""

    def embed(texts: list[str], folder: Path) -> NDArray[np.float32]:
        del folder
        noise = [np.random.default_rng(len(text)).standard_normal(384) for text in texts]
        return np.stack([v / np.linalg.norm(v) for v in noise]).astype(np.float32)

    monkeypatch.setattr(text_embedding, "embed", embed)
    monkeypatch.setattr(text_embedding, "find_encoder", lambda: TABLE)


@pytest.fixture
def in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def loaded(*, conditions: bool = True, frames: int = FRAMES) -> Loaded:
    """Return a network that never runs, and what surrounds it."""
    table = [Condition(name, (), f"Has {name}.", None) for name in NAMES]
    content = text_embedding.conditions_file(table, TABLE)
    return Loaded(
        network=convolutions(layers=1),
        input=FramesInput(frames, SIDE, SIDE),
        head=Probabilities(softmax=True),
        preprocess=(SampleFrames(frames), Letterbox(SIDE, SIDE, "linear_antialias")),
        labels=LABELS,
        assets={CONDITIONS: content} if conditions else {},
    )


def run_nodes(form: FramesInput, arrays: Mapping[str, np.ndarray], path: Path) -> list[np.ndarray]:
    """Run the ONNX form of an input and return its outputs."""
    names = ["clip", "patient"][: len(form.tensors)]
    fragment = form.nodes(*names)
    types = {"uint8": TensorProto.UINT8, "float32": TensorProto.FLOAT}
    inputs = [
        helper.make_tensor_value_info(t.name, types[t.dtype], list(t.shape)) for t in form.tensors
    ]
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names]
    graph = helper.make_graph(fragment.nodes, "test", inputs, outputs, fragment.initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    path.write_bytes(model.SerializeToString())
    answers = Session(path).run(arrays)
    return [np.asarray(answers[name]) for name in names]


@pytest.mark.parametrize("layout", ["TCHW", "CTHW"])
@pytest.mark.parametrize("divisor", ["1", "255"])
def test_frames_become_the_networks_input_in_both_forms(
    tmp_path: Path, layout: str, divisor: str
) -> None:
    plain = divisor == "1"
    form = FramesInput(
        3, 4, 5,
        mean=(0, 0, 0) if plain else (0.4, 0.5, 0.6),
        std=(1, 1, 1) if plain else (0.2, 0.3, 0.4),
        divisor=divisor,  # type: ignore[arg-type]  # parametrized
        layout=layout,  # type: ignore[arg-type]  # parametrized
    )  # fmt: skip
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (2, 3, 4, 5, 3), np.uint8)
    condition = rng.standard_normal((2, 384), np.float32)
    clip, patient = form.apply(frames, condition)
    channel = frames[1, 2, 3, 4, 0].astype(np.float32)
    place = (1, 2, 0, 3, 4) if layout == "TCHW" else (1, 0, 2, 3, 4)
    expected = channel if plain else (channel / 255 - 0.4) / 0.2
    np.testing.assert_allclose(clip[place], expected, rtol=1e-5)
    outputs = run_nodes(
        form, {"frames": frames, "condition": condition}, tmp_path / "numerics.onnx"
    )
    np.testing.assert_allclose(outputs[0], clip, atol=2e-6)
    np.testing.assert_array_equal(outputs[1], patient)
    assert clip.flags.c_contiguous


def test_a_network_may_take_no_condition(tmp_path: Path) -> None:
    form = FramesInput(2, 4, 4, condition=None)
    frames = np.full((1, 2, 4, 4, 3), 9, np.uint8)
    (clip,) = form.apply(frames)
    (by_nodes,) = run_nodes(form, {"frames": frames}, tmp_path / "numerics.onnx")
    np.testing.assert_array_equal(by_nodes, clip)
    walk = MODALITIES["walker"].generate(EVALUATION, 2)[1]
    without = replace(loaded(), input=FramesInput(FRAMES, SIDE, SIDE, condition=None))
    assert list(MODALITIES["walker"].to_feeds(walk, without)) == ["frames"]


def test_a_third_of_the_walkers_has_no_condition_and_the_others_have_each() -> None:
    walkers = MODALITIES["walker"]
    walks = [walkers.with_condition(GaitClip(b""), number) for number in range(300)]
    assert walks == [walkers.with_condition(GaitClip(b""), number) for number in range(300)]
    names = [walkers.condition_name(walk, loaded()) for walk in walks]
    assert 70 < names.count(None) < 130
    assert all(names.count(name) > 40 for name in NAMES)
    assert names[0] is not None  # so that a golden sample has one, were there only one
    assert None in names[:4]


def test_a_walker_is_sampled_with_the_vector_of_its_condition() -> None:
    walkers = MODALITIES["walker"]
    frames = walkers.generate(EVALUATION, 1)[0].media
    model = loaded()
    for condition in (0, 1, 2, 5, None):
        feeds = walkers.to_feeds(GaitClip(frames, condition), model)
        np.testing.assert_array_equal(feeds["frames"][0], frames)
        name = None if condition is None else NAMES[condition % 3]
        assert walkers.condition_name(GaitClip(frames, condition), model) == name
        expected = (
            np.zeros(384)
            if name is None
            else text_embedding.embed([f"{name}. Has {name}."], TABLE)[0]
        )
        np.testing.assert_array_equal(feeds["condition"][0], expected)
    bare = loaded(conditions=False)
    assert walkers.condition_name(GaitClip(frames, 1), bare) is None
    assert not walkers.to_feeds(GaitClip(frames, 1), bare)["condition"].any()


def test_written_walks_are_read_as_the_server_reads_them() -> None:
    walkers = MODALITIES["walker"]
    walk = walkers.generate(GOLDEN, 1)[0]
    data = walkers.encode(walk)
    feeds = walkers.to_feeds(walkers.read(data), loaded())
    np.testing.assert_array_equal(feeds["frames"][0], sample_frames(data, count=FRAMES).frames)
    # the codec stores colour at half the resolution: OpenCV has no lossless one that stores all
    assert np.abs(feeds["frames"][0].astype(int) - walk.media).mean() < 6
    fewer = walkers.to_feeds(walkers.read(data), loaded(frames=4))["frames"][0]
    np.testing.assert_array_equal(fewer, feeds["frames"][0][[0, 5, 10, 15]])
    assert len(walkers.encode(walkers.simplify(walk))) < len(data) / 3


def test_walkers_of_two_splits_differ() -> None:
    one, other = (MODALITIES["walker"].generate(split, 2) for split in (CALIBRATION, EVALUATION))
    assert all(np.abs(a.media.astype(int) - b.media).mean() > 5 for a in one for b in other)


def test_a_condition_changes_the_answer_and_seeded_answers_differ() -> None:
    assert RECIPE_FILE.recipe.seed is not None
    student = RECIPE_FILE.recipe.seed()
    walks = MODALITIES["walker"].generate(EVALUATION, 2)
    clips = [GaitClip(walk.media, number) for walk in walks for number in (None, 3)]
    batch = collate([MODALITIES["walker"].to_feeds(walk, student) for walk in clips])
    inputs = student.input.apply(batch["frames"], batch["condition"])
    answers = student.head.apply(*student.network.forward(*inputs))["probabilities"]
    assert answers.shape == (4, len(LABELS))
    for one in range(4):
        for other in range(one):
            assert np.abs(answers[one] - answers[other]).max() > 1e-3


def test_a_checkpoint_of_any_class_count_loads_and_names_its_classes(in_tmp: Path) -> None:
    path = in_tmp / "mine.pt"
    state = GaitStudent(class_count=3).state_dict()
    torch.save({"state_dict": state, "labels": ["a", "b", "c"]}, path)
    assert RECIPE_FILE.recipe.load(path).labels == ("a", "b", "c")
    torch.save(state, path)
    assert RECIPE_FILE.recipe.load(path).labels == ()  # never guessed from the count
    torch.save({key: value for key, value in state.items() if "film" not in key}, path)
    with pytest.raises(CheckpointError, match=r"3 missing \(film"):
        RECIPE_FILE.recipe.load(path)
    torch.save({"weight": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match=r"no classifier\.weight"):
        RECIPE_FILE.recipe.load(path)


def test_synthetic_weights_are_used_without_a_checkpoint_and_recorded_as_such(
    in_tmp: Path,
) -> None:
    synthetic = in_tmp / "drawn.pt"
    recipe_file = replace(
        RECIPE_FILE, recipe=replace(RECIPE_FILE.recipe, synthetic_weights=synthetic)
    )
    with pytest.raises(CheckpointError, match="no weights"):
        weights.find(recipe_file, "pretrained", None)
    synthetic.touch()
    for mode in ("pretrained", "auto"):
        resolved = weights.find(recipe_file, mode, None)
        assert (resolved.origin, resolved.path) == ("synthetic", synthetic)
    assert weights.find(recipe_file, "seeded", None).origin == "seeded"
    Path("checkpoints").mkdir()
    Path("checkpoints/gait_student.conditions.json").write_text("[]", encoding="utf-8")
    assert weights.find(recipe_file, "auto", None).origin == "synthetic"
    Path("checkpoints/gait_student.pt").touch()
    resolved = weights.find(recipe_file, "auto", None)
    assert (resolved.origin, resolved.path) == ("pretrained", Path("checkpoints/gait_student.pt"))


def test_the_users_table_of_conditions_replaces_the_projects(in_tmp: Path) -> None:
    assert placed_conditions() == TABLE
    (in_tmp / "checkpoints").mkdir()
    row = {"name": "Gout", "synonyms": ["podagra"], "description": "A painful toe."}
    path = in_tmp / "checkpoints/gait_student.conditions.json"
    path.write_text(json.dumps([row]), encoding="utf-8")
    assert read_conditions(placed_conditions()) == (
        Condition("Gout", ("podagra",), "A painful toe.", None),
    )
    assert text_embedding.condition_sources()[0].name == path.name


def test_an_owners_architecture_converts_by_the_recipe_of_the_page(in_tmp: Path) -> None:
    page = (PROJECT / "convert/GAIT.md").read_text("utf-8")
    (block,) = BLOCK.findall(page)
    path = in_tmp / "own_gait.py"
    path.write_text(block, encoding="utf-8")
    module = recipe.read(path).recipe.load.__globals__["build_network"]()
    rng = np.random.default_rng(4)
    for parameter in module.parameters():
        noise = rng.standard_normal(tuple(parameter.shape), dtype=np.float32)
        fan_in = int(np.prod(parameter.shape[1:])) if parameter.ndim > 1 else 10_000
        scale = np.float32(np.sqrt(2 / fan_in))
        parameter.data = torch.from_numpy(np.asarray(noise * scale))
    module.scale.weight.data *= 10
    torch.save(module.state_dict(), in_tmp / "own.pt")
    job = Job(recipe.read(path), in_tmp / "out", checkpoint=in_tmp / "own.pt", precision="float")
    outcome = convert(job, lambda stage: None)
    assert convert(job, lambda stage: None).status == "unchanged"
    directory = in_tmp / "out/own_gait/1"
    manifest = read_manifest(directory)
    assert outcome.manifest == manifest
    assert manifest.weights.origin == "pretrained"
    _check_golden(directory, manifest)

    model = runtime.load(in_tmp / "out/own_gait")
    walk = MODALITIES["walker"].generate(EVALUATION, 1)[0]
    parkinson = model.predict(walk.media, condition="paralysis agitans")
    unknown = model.predict(walk.media)
    assert isinstance(parkinson, Classification)
    assert isinstance(unknown, Classification)
    assert parkinson.labels == ("steady", "unsteady")
    # by hand, in torch
    condition = text_embedding.embed([_text("Parkinson's disease")], TABLE)
    frames = _frames_of(walk.media)
    for vector, answer in (
        (condition, parkinson),
        (np.zeros((1, 384), np.float32), unknown),
    ):
        with torch.inference_mode():
            logits = module.eval()(torch.from_numpy(frames), torch.from_numpy(vector))
        expected = torch.softmax(logits, 1).numpy()[0]
        np.testing.assert_allclose(answer.probabilities, expected, atol=1e-5)
    assert np.abs(parkinson.probabilities - unknown.probabilities).max() > 0.01


def _text(name: str) -> str:
    (condition,) = (c for c in read_conditions() if c.name == name)
    return condition.text


def _frames_of(clip: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Preprocess a clip as the page says: eight frames, half the size, normalised."""
    steps = (Letterbox(112, 112, "linear_antialias"),)
    small = np.stack([preprocess(clip[int(i * 15 / 7)], steps) for i in range(8)])
    normal = (small.astype(np.float32) / 255 - [0.43, 0.39, 0.38]) / [0.23, 0.22, 0.22]
    return normal.astype(np.float32).transpose(3, 0, 1, 2)[np.newaxis]


def _check_golden(directory: Path, manifest: Manifest) -> None:
    """Check that a golden clip, with its condition, gets the golden answer."""
    with np.load(directory / manifest.golden.name) as golden:
        data, name = golden["media/0"].tobytes(), str(golden["condition/0"])
        expected = golden["output/probabilities"][0]
    answer = runtime.load(directory.parent).predict(data, condition=name)
    assert isinstance(answer, Classification)
    np.testing.assert_allclose(answer.probabilities, expected, atol=2e-5)
