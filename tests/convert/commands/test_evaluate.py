"""`convert evaluate`: labelled accuracy of float and of the packaged variant."""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from convert.__main__ import main
from convert.commands.evaluate.accuracy import Accuracy, Prediction, confusion, match_labels
from convert.commands.evaluate.cases import CasesError, read_labelled, read_masked, subset
from convert.commands.evaluate.measure import nearest
from convert.commands.evaluate.overlap import MaskScores, Overlap, iou, mae
from runtime import load
from tests.convert.support.finished import put
from tests.support.artifacts import (
    CLASSIFIER,
    DETECTOR,
    EMBEDDING,
    GAIT,
    SEGMENTATION,
    VOICE,
    edit_manifest,
    write_artifact,
)

PNG = frozenset({".png"})
FEELINGS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def write_image(path: Path, seed: int, *, side: int = 24) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3)).astype(np.uint8)
    assert cv2.imwrite(str(path), pixels)
    return path


def test_a_folder_per_class(tmp_path: Path) -> None:
    for name in ("sad/b.png", "sad/deep/c.PNG", "happy/a.png", "happy/.hidden.png", "happy/a.txt"):
        write_image(tmp_path / "x.png", 0)
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(tmp_path / "x.png", tmp_path / name)
    cases = read_labelled(tmp_path, PNG, ())
    expected = [("happy/a.png", "happy"), ("sad/b.png", "sad"), ("sad/deep/c.PNG", "sad")]
    assert [(str(case.path.relative_to(tmp_path)), case.label) for case in cases] == expected
    assert [case.label for case in read_labelled(tmp_path, PNG, ["sad"])] == ["happy"]
    with pytest.raises(CasesError, match="no labelled files; needed: folders of classes"):
        read_labelled(tmp_path, PNG, ["sad", "happy"])
    with pytest.raises(CasesError, match="no such directory or CSV"):
        read_labelled(tmp_path / "nowhere", PNG, ())


def test_csv_names_files_relative_to_itself(tmp_path: Path) -> None:
    write_image(tmp_path / "a b.png", 0)
    table = tmp_path / "cases.csv"
    table.write_text('\ufeffLabel, File ,who\nsad,"a b.png",x\n', encoding="utf-8")
    for root in (table, tmp_path):
        (case,) = read_labelled(root, PNG, ())
        assert (case.path, case.label) == (tmp_path / "a b.png", "sad")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name,class\na.png,sad\n", "columns are name, class; needed: file, label"),
        ("", "columns are none"),
        ("file,label\na.png\n", "line 2: needs a file and a label"),
        ("file,label\nb.png,sad\n", r"line 2: .*/b.png is no file"),
        ("file,label\n\n", "no labelled files"),
        (b"file,label\n\xff,sad\n", "is no CSV in UTF-8"),
    ],
)
def test_wrong_csvs_are_refused(tmp_path: Path, content: str | bytes, message: str) -> None:
    table = tmp_path / "cases.csv"
    table.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(CasesError, match=message):
        read_labelled(table, PNG, ())


def test_two_csvs_are_refused(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("file,label\n")
    with pytest.raises(CasesError, match="has 2 CSVs: name the one"):
        read_labelled(tmp_path, PNG, ())


def test_masks_by_stem(tmp_path: Path) -> None:
    write_image(tmp_path / "images/a.png", 0)
    write_image(tmp_path / "masks/a.png", 1)
    (case,) = read_masked(tmp_path, PNG)
    assert (case.path.parent.name, case.mask.parent.name) == ("images", "masks")
    write_image(tmp_path / "images/b.png", 0)
    with pytest.raises(CasesError, match=r"b.png has no mask; needed: .*masks/b.png"):
        read_masked(tmp_path, PNG)
    with pytest.raises(CasesError, match=r"has no images/ and masks/"):
        read_masked(tmp_path / "images", PNG)


def test_limit_selects_the_same_cases_each_time(tmp_path: Path) -> None:
    for number in range(20):
        write_image(tmp_path / f"{'ab'[number // 10]}/{number:02}.png", 0)
    cases = read_labelled(tmp_path, PNG, ())
    selected = subset(cases, 8)
    assert selected == subset(cases, 8)
    assert len(selected) == 8
    assert {case.label for case in selected} == {"a", "b"}  # not the first eight
    assert [case for case in cases if case in selected] == selected
    assert subset(cases, 99) == cases == subset(cases, None)
    with pytest.raises(CasesError, match="--limit is 0"):
        subset(cases, 0)


def test_names_are_matched_to_labels() -> None:
    names = ("Angry", "DISGUST", "fearful", "happiness", "sadness", "surprised")
    assert list(match_labels(names, FEELINGS).values()) == list(FEELINGS[:6])
    assert match_labels(["left_turn"], ("Left Turn", "right")) == {"left_turn": "Left Turn"}
    both = ("fear", "afraid")  # two labels for one emotion match by their own names alone
    assert match_labels(["afraid"], both) == {"afraid": "afraid"}
    with pytest.raises(CasesError, match="'scared': no class"):
        match_labels(["scared"], both)
    with pytest.raises(CasesError) as caught:
        match_labels(["sad", "contempt", "awe"], FEELINGS)
    assert str(caught.value) == (
        "'awe', 'contempt': no class of this model; known: angry, disgust, fear, happy, sad, "
        "surprise, neutral; to leave out: --ignore 'awe' --ignore 'contempt'"
    )


def accuracy(*answers: Sequence[str]) -> Accuracy:
    rows = (Prediction(f"{n}.png", *row) for n, row in enumerate(answers))
    return Accuracy(("a", "b", "c"), tuple(rows))


def test_accuracies_and_changed_cases() -> None:
    result = accuracy("aaa", "aab", "aba", "bbb", "bcb", "bba", "bcc", "cca")
    assert result.correct == (5, 4)
    assert result.columns == ["a", "b", "c"]
    assert [(e.file, e.before, e.after) for e in result.changed] == [
        ("1.png", "a", "b"),
        ("5.png", "b", "a"),
        ("7.png", "c", "a"),
        ("2.png", "b", "a"),
        ("4.png", "c", "b"),
    ]
    facts = result.to_json()
    assert (facts["net_change"], facts["agreement"]) == (-1, 3 / 8)
    assert (facts["accuracy_before"], facts["accuracy_after"]) == (5 / 8, 4 / 8)
    assert facts["classes"]["b"] == {
        "cases": 4,
        "accuracy_before": 0.5,
        "accuracy_after": 0.5,
    }
    assert facts["confusion"]["before"] == [[2, 1, 0], [0, 2, 2], [0, 0, 1]]
    assert facts["confusion"]["after"] == [[2, 1, 0], [1, 2, 1], [1, 0, 0]]
    assert confusion(["c"], ["c", "a"], result.predictions, "after") == [[0, 1]]


def test_p_value_is_of_mcnemars_exact_test() -> None:
    assert accuracy("aaa", "bbb").p_value == 1
    assert accuracy(*["aab"] * 5).p_value == pytest.approx(2 / 32)  # five losses, no gain
    assert accuracy(*["aab"] * 9, "bab").p_value == pytest.approx(2 * 11 / 1024)
    assert accuracy(*["aab"] * 3, *["bab"] * 3).p_value == 1
    assert accuracy("cab", "cba").p_value == 1  # wrong before and after


def test_overlaps_of_masks() -> None:
    mask = np.zeros((4, 4), np.float32)
    mask[:2] = 1
    half = np.zeros((4, 4), np.float32)
    half[:1] = 0.75
    assert (iou(mask, mask), iou(mask, half), iou(half * 0, half * 0)) == (1, 0.5, 1)
    assert mae(mask, half) == pytest.approx((0.25 * 4 + 4) / 16)
    scores = (
        MaskScores("a", 0.9, 0.8, 0, 0),
        MaskScores("b", 0.9, 0.898, 0, 0),
        MaskScores("c", 0.9, 0.6, 0, 0.5),
    )
    facts = Overlap(scores).to_json()
    assert [image["file"] for image in facts["changed"]] == ["c", "a"]
    assert facts["net_change"] == pytest.approx((0.8 + 0.898 + 0.6) / 3 - 0.9)
    assert facts["mae_after"] == pytest.approx(0.5 / 3)


def test_embedding_gets_the_label_of_the_nearest_other_case() -> None:
    angles = np.deg2rad([0, 10, 90, 100, 15])
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert nearest(points, ["a", "a", "b", "b", "c"]) == ["a", "c", "b", "b", "a"]
    with pytest.raises(CasesError, match="at least 2 cases"):
        nearest(points[:1], ["a"])


Evaluate = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture
def evaluate(capsys: pytest.CaptureFixture[str]) -> Evaluate:
    """Return a function that runs the command: its exit code, JSON output and error output."""

    def run(*arguments: object) -> tuple[int, dict[str, Any], str]:
        code = main(["evaluate", *map(str, arguments), "--json"])
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else {}, err

    return run


def test_accuracy_of_a_variant_against_float(tmp_path: Path, evaluate: Evaluate) -> None:
    """Add a variant with the classes in another order: all correct predictions become wrong."""
    directory = write_artifact(tmp_path, CLASSIFIER)
    model = load(directory)
    cases = tmp_path / "cases"
    for seed in range(6):
        path = write_image(tmp_path / "images" / f"{seed}.png", seed)
        label = dict[str, Any](model.predict(path.read_bytes()).to_json())["label"]
        target = cases / label.upper() / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    code, facts, _ = evaluate(directory, cases)
    assert (code, facts["accuracy_before"], facts["accuracy_after"]) == (0, 1, 1)
    assert (facts["before"], facts["after"], facts["changed"]) == ("float", "float", [])

    _add_rolled(directory)
    code, facts, _ = evaluate(directory, cases)
    assert (facts["before"], facts["after"]) == ("float", "int8")
    assert (code, facts["accuracy_before"], facts["accuracy_after"]) == (0, 1, 0)
    assert (facts["net_change"], len(facts["changed"])) == (-6, 6)
    code, _, err = evaluate(directory, cases, "--allowed-loss", "50")
    assert code == 1
    assert "100.00 points are lost; allowed: 50.0" in err
    assert evaluate(directory, cases, "--allowed-loss", "100")[0] == 0
    assert evaluate(directory, cases, "--variant", "float")[1]["accuracy_after"] == 1
    assert evaluate(directory, cases, "--limit", "2")[1]["cases"] == 2
    assert main(["evaluate", str(directory), str(cases)]) == 0


def _add_rolled(directory: Path) -> None:
    """Add an INT8 variant that predicts the class after that of float."""
    graph = onnx.load(directory / "float.onnx")
    for node in graph.graph.node:
        for index, name in enumerate(node.output):
            if name == "probabilities":
                node.output[index] = "before"
    count = graph.graph.output[0].type.tensor_type.shape.dim[-1].dim_value
    order = np.roll(np.arange(count), 1)
    graph.graph.initializer.append(numpy_helper.from_array(order, "order"))
    rolled = helper.make_node("Gather", ["before", "order"], ["probabilities"], axis=1)
    graph.graph.node.append(rolled)
    manifest = json.loads((directory / "manifest.json").read_text())
    plain = manifest["variants"][0]
    entry = {**plain["files"][0], "name": "int8.onnx"}
    other = {**plain, "name": "int8", "precision": "int8", "files": [entry]}
    edit_manifest(directory, {"variants": [other, plain]})
    put(directory, "int8", graph.SerializeToString())


def test_unknown_classes_are_refused_with_the_known_ones(
    tmp_path: Path, evaluate: Evaluate
) -> None:
    directory = write_artifact(tmp_path, CLASSIFIER)
    write_image(tmp_path / "cases/contempt/a.png", 0)
    write_image(tmp_path / "cases/dark/a.png", 1)
    code, facts, err = evaluate(directory, tmp_path / "cases")
    assert (code, facts) == (1, {})
    assert err.startswith("convert: 'contempt': no class of this model; known: ")
    code, facts, _ = evaluate(directory, tmp_path / "cases", "--ignore", "contempt")
    assert (code, facts["cases"]) == (0, 1)


def test_unreadable_files_are_listed_and_not_counted(tmp_path: Path, evaluate: Evaluate) -> None:
    directory = write_artifact(tmp_path, CLASSIFIER)
    write_image(tmp_path / "cases/dark/a.png", 1)
    (tmp_path / "cases/dark/b.png").write_bytes(b"no image")
    code, facts, err = evaluate(directory, tmp_path / "cases")
    assert (code, facts["cases"]) == (0, 1)
    assert [file["file"] for file in facts["unreadable"]] == [str(tmp_path / "cases/dark/b.png")]
    assert "left out" in err
    (tmp_path / "cases/dark/a.png").unlink()
    code, _, err = evaluate(directory, tmp_path / "cases")
    assert code == 1
    assert "none of 1 files is readable" in err


def test_masks_are_for_segmentation_models(tmp_path: Path, evaluate: Evaluate) -> None:
    segmentation, classifier = (
        write_artifact(tmp_path, name) for name in (SEGMENTATION, CLASSIFIER)
    )
    for name in ("images/a.png", "masks/a.png"):
        write_image(tmp_path / "cases" / name, 3)
    code, facts, _ = evaluate(segmentation, tmp_path / "cases")
    assert (code, facts["cases"]) == (0, 1)
    assert facts["iou_before"] == facts["iou_after"]
    assert 0 <= float(str(facts["mae_after"])) <= 1
    code, _, err = evaluate(classifier, tmp_path / "cases")
    assert (code, "has masks" in err) == (1, True)
    write_image(tmp_path / "folders/dark/a.png", 1)
    code, _, err = evaluate(segmentation, tmp_path / "folders")
    assert (code, "has no images/ and masks/" in err) == (1, True)
    write_image(tmp_path / "cases/masks/a.png", 3, side=10)
    code, _, err = evaluate(segmentation, tmp_path / "cases")
    assert (code, "has 10 x 10 px; its image has 24 x 24" in err) == (1, True)


@pytest.mark.parametrize("graph", [DETECTOR, EMBEDDING])
def test_detectors_and_embeddings(graph: str, tmp_path: Path, evaluate: Evaluate) -> None:
    directory = write_artifact(tmp_path, graph)
    labels = load(directory).spec.labels or ("one", "two")
    for seed, label in enumerate([*labels[:2]] * 2):
        write_image(tmp_path / "cases" / label / f"{seed}.png", seed)
    code, facts, err = evaluate(directory, tmp_path / "cases")
    assert (code, facts.get("cases")) == (0, 4), err


@pytest.mark.parametrize("graph", [VOICE, GAIT])
def test_sounds_and_clips(graph: str, tmp_path: Path, shared: Path, evaluate: Evaluate) -> None:
    directory = write_artifact(tmp_path, graph)
    label = load(directory).spec.labels[0]
    source = "data/speech/emodb/anger" if graph == VOICE else "data/video"
    suffix = ".wav" if graph == VOICE else ".mp4"
    folder = tmp_path / "cases" / label
    folder.mkdir(parents=True)
    for path in sorted((shared / source).glob(f"*{suffix}"))[:2]:
        shutil.copy(path, folder)
    code, facts, err = evaluate(directory, tmp_path / "cases")
    assert (code, facts.get("cases"), facts.get("unreadable")) == (0, 2, []), err


def test_missing_artifacts_and_cases_are_refused(tmp_path: Path, evaluate: Evaluate) -> None:
    code, _, err = evaluate("nothing", tmp_path, "--out", tmp_path)
    assert (code, "holds no complete version" in err) == (1, True)
    directory = write_artifact(tmp_path, CLASSIFIER)
    code, _, err = evaluate(directory.parent.name, tmp_path / "gone", "--out", tmp_path)
    assert (code, "no such directory or CSV" in err) == (1, True)
    code, _, err = evaluate(directory, tmp_path, "--recipe", tmp_path / "mine.py")
    assert (code, "--checkpoint is missing" in err) == (1, True)
    _add_rolled(directory)
    (directory / "float.onnx").unlink()
    code, _, err = evaluate(directory, tmp_path)
    assert (code, "--checkpoint PATH exports the reference again" in err) == (1, True)


def test_real_faces(shared: Path) -> None:
    """Match the folders of CK+: their names are nouns, and one is no class of FER2013."""
    faces = shared / "data/faces/ckplus48"
    names = {case.label for case in read_labelled(faces, PNG, ())}
    with pytest.raises(CasesError, match="'contempt': no class of this model; known: angry, "):
        match_labels(names, FEELINGS)
    cases = read_labelled(faces, PNG, ["contempt"])
    assert set(match_labels([case.label for case in cases], FEELINGS).values()) == set(FEELINGS[:6])
    assert len({case.label for case in subset(cases, 40)}) == 6
