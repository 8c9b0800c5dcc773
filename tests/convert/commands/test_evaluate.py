"""`convert evaluate`: labelled accuracy, float against what is packaged."""

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
from convert.commands.evaluate.cases import CasesError, labelled, limited, masked
from convert.commands.evaluate.classes import Accuracy, Answered, confusion, matched
from convert.commands.evaluate.masks import Cut, Overlaps, iou, mae
from convert.commands.evaluate.measure import nearest
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
    found = labelled(tmp_path, PNG, ())
    expected = [("happy/a.png", "happy"), ("sad/b.png", "sad"), ("sad/deep/c.PNG", "sad")]
    assert [(str(each.path.relative_to(tmp_path)), each.label) for each in found] == expected
    assert [each.label for each in labelled(tmp_path, PNG, ["sad"])] == ["happy"]
    with pytest.raises(CasesError, match="no labelled files; needed: folders of classes"):
        labelled(tmp_path, PNG, ["sad", "happy"])
    with pytest.raises(CasesError, match="no such directory or CSV"):
        labelled(tmp_path / "nowhere", PNG, ())


def test_a_csv_names_files_from_where_it_is(tmp_path: Path) -> None:
    write_image(tmp_path / "a b.png", 0)
    table = tmp_path / "cases.csv"
    table.write_text('\ufeffLabel, File ,who\nsad,"a b.png",x\n', encoding="utf-8")
    for root in (table, tmp_path):
        (case,) = labelled(root, PNG, ())
        assert (case.path, case.label) == (tmp_path / "a b.png", "sad")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("name,class\na.png,sad\n", "columns are name, class; needed: file, label"),
        ("", "columns are none"),
        ("file,label\na.png\n", "line 2: needs a file and a label"),
        ("file,label\nb.png,sad\n", r"line 2: .*/b.png is no file"),
        ("file,label\n\n", "no labelled files"),
        (b"file,label\n\xff,sad\n", "is no CSV in UTF-8"),
    ],
)
def test_csvs_that_are_refused(tmp_path: Path, content: str | bytes, says: str) -> None:
    table = tmp_path / "cases.csv"
    table.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(CasesError, match=says):
        labelled(table, PNG, ())


def test_two_csvs_are_one_too_many(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text("file,label\n")
    with pytest.raises(CasesError, match="has 2 CSVs: name the one"):
        labelled(tmp_path, PNG, ())


def test_masks_by_stem(tmp_path: Path) -> None:
    write_image(tmp_path / "images/a.png", 0)
    write_image(tmp_path / "masks/a.png", 1)
    (case,) = masked(tmp_path, PNG)
    assert (case.path.parent.name, case.mask.parent.name) == ("images", "masks")
    write_image(tmp_path / "images/b.png", 0)
    with pytest.raises(CasesError, match=r"b.png has no mask; needed: .*masks/b.png"):
        masked(tmp_path, PNG)
    with pytest.raises(CasesError, match=r"has no images/ and masks/"):
        masked(tmp_path / "images", PNG)


def test_a_limit_draws_the_same_cases_again(tmp_path: Path) -> None:
    for number in range(20):
        write_image(tmp_path / f"{'ab'[number // 10]}/{number:02}.png", 0)
    cases = labelled(tmp_path, PNG, ())
    drawn = limited(cases, 8)
    assert drawn == limited(cases, 8)
    assert len(drawn) == 8
    assert {case.label for case in drawn} == {"a", "b"}  # not the first eight
    assert [case for case in cases if case in drawn] == drawn
    assert limited(cases, 99) == cases == limited(cases, None)
    with pytest.raises(CasesError, match="--limit is 0"):
        limited(cases, 0)


def test_names_are_matched_to_labels() -> None:
    names = ("Angry", "DISGUST", "fearful", "happiness", "sadness", "surprised")
    assert list(matched(names, FEELINGS).values()) == list(FEELINGS[:6])
    assert matched(["left_turn"], ("Left Turn", "right")) == {"left_turn": "Left Turn"}
    both = ("fear", "afraid")  # two of one sense are told apart, or not at all
    assert matched(["afraid"], both) == {"afraid": "afraid"}
    with pytest.raises(CasesError, match="'scared': no class"):
        matched(["scared"], both)
    with pytest.raises(CasesError) as caught:
        matched(["sad", "contempt", "awe"], FEELINGS)
    assert str(caught.value) == (
        "'awe', 'contempt': no class of this model; known: angry, disgust, fear, happy, sad, "
        "surprise, neutral; to leave out: --ignore 'awe' --ignore 'contempt'"
    )


def accuracy(*answers: Sequence[str]) -> Accuracy:
    rows = (Answered(f"{n}.png", *row) for n, row in enumerate(answers))
    return Accuracy(("a", "b", "c"), tuple(rows))


def test_accuracies_and_what_changed() -> None:
    found = accuracy("aaa", "aab", "aba", "bbb", "bcb", "bba", "bcc", "cca")
    assert found.right == (5, 4)
    assert found.columns == ["a", "b", "c"]
    assert [(e.file, e.before, e.after) for e in found.changed] == [
        ("1.png", "a", "b"),
        ("5.png", "b", "a"),
        ("7.png", "c", "a"),
        ("2.png", "b", "a"),
        ("4.png", "c", "b"),
    ]
    facts = found.to_json()
    assert (facts["net_change"], facts["agreement"]) == (-1, 3 / 8)
    assert (facts["accuracy_before"], facts["accuracy_after"]) == (5 / 8, 4 / 8)
    assert facts["classes"]["b"] == {
        "cases": 4,
        "accuracy_before": 0.5,
        "accuracy_after": 0.5,
    }
    assert facts["confusion"]["before"] == [[2, 1, 0], [0, 2, 2], [0, 0, 1]]
    assert facts["confusion"]["after"] == [[2, 1, 0], [1, 2, 1], [1, 0, 0]]
    assert confusion(["c"], ["c", "a"], found.answers, "after") == [[0, 1]]


def test_chance_is_the_exact_sign_test() -> None:
    assert accuracy("aaa", "bbb").chance == 1
    assert accuracy(*["aab"] * 5).chance == pytest.approx(2 / 32)  # five lost, none won
    assert accuracy(*["aab"] * 9, "bab").chance == pytest.approx(2 * 11 / 1024)
    assert accuracy(*["aab"] * 3, *["bab"] * 3).chance == 1
    assert accuracy("cab", "cba").chance == 1  # wrong before and after


def test_overlaps_of_masks() -> None:
    mask = np.zeros((4, 4), np.float32)
    mask[:2] = 1
    half = np.zeros((4, 4), np.float32)
    half[:1] = 0.75
    assert (iou(mask, mask), iou(mask, half), iou(half * 0, half * 0)) == (1, 0.5, 1)
    assert mae(mask, half) == pytest.approx((0.25 * 4 + 4) / 16)
    cuts = (Cut("a", 0.9, 0.8, 0, 0), Cut("b", 0.9, 0.898, 0, 0), Cut("c", 0.9, 0.6, 0, 0.5))
    facts = Overlaps(cuts).to_json()
    assert [each["file"] for each in facts["changed"]] == ["c", "a"]
    assert facts["net_change"] == pytest.approx((0.8 + 0.898 + 0.6) / 3 - 0.9)
    assert facts["mae_after"] == pytest.approx(0.5 / 3)


def test_the_nearest_other_case_labels_an_embedding() -> None:
    angles = np.deg2rad([0, 10, 90, 100, 15])
    points = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert nearest(points, ["a", "a", "b", "b", "c"]) == ["a", "c", "b", "b", "a"]
    with pytest.raises(CasesError, match="no other one"):
        nearest(points[:1], ["a"])


Asked = Callable[..., tuple[int, dict[str, Any], str]]


@pytest.fixture
def asked(capsys: pytest.CaptureFixture[str]) -> Asked:
    def ask(*arguments: object) -> tuple[int, dict[str, Any], str]:
        code = main(["evaluate", *map(str, arguments), "--json"])
        out, err = capsys.readouterr()
        return code, json.loads(out) if out else {}, err

    return ask


def test_what_is_packaged_against_float(tmp_path: Path, asked: Asked) -> None:
    """A second variant with the classes in another order: all that was right becomes wrong."""
    directory = write_artifact(tmp_path, CLASSIFIER)
    model = load(directory)
    cases = tmp_path / "cases"
    for seed in range(6):
        path = write_image(tmp_path / "made" / f"{seed}.png", seed)
        label = model.predict(path.read_bytes()).to_json()["label"]
        target = cases / label.upper() / path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    code, found, _ = asked(directory, cases)
    assert (code, found["accuracy_before"], found["accuracy_after"]) == (0, 1, 1)
    assert (found["before"], found["after"], found["changed"]) == ("float", "float", [])

    _add_rolled(directory)
    code, found, _ = asked(directory, cases)
    assert (found["before"], found["after"]) == ("float", "int8")
    assert (code, found["accuracy_before"], found["accuracy_after"]) == (0, 1, 0)
    assert (found["net_change"], len(found["changed"])) == (-6, 6)
    code, _, err = asked(directory, cases, "--allowed-loss", "50")
    assert code == 1
    assert "100.00 points are lost; allowed: 50.0" in err
    assert asked(directory, cases, "--allowed-loss", "100")[0] == 0
    assert asked(directory, cases, "--variant", "float")[1]["accuracy_after"] == 1
    assert asked(directory, cases, "--limit", "2")[1]["cases"] == 2
    assert main(["evaluate", str(directory), str(cases)]) == 0


def _add_rolled(directory: Path) -> None:
    """An INT8 variant whose answers are those of float, a class further on."""
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


def test_unknown_classes_are_refused_with_the_known_ones(tmp_path: Path, asked: Asked) -> None:
    directory = write_artifact(tmp_path, CLASSIFIER)
    write_image(tmp_path / "cases/contempt/a.png", 0)
    write_image(tmp_path / "cases/dark/a.png", 1)
    code, found, err = asked(directory, tmp_path / "cases")
    assert (code, found) == (1, {})
    assert err.startswith("convert: 'contempt': no class of this model; known: ")
    code, found, _ = asked(directory, tmp_path / "cases", "--ignore", "contempt")
    assert (code, found["cases"]) == (0, 1)


def test_unreadable_files_are_told_and_not_counted(tmp_path: Path, asked: Asked) -> None:
    directory = write_artifact(tmp_path, CLASSIFIER)
    write_image(tmp_path / "cases/dark/a.png", 1)
    (tmp_path / "cases/dark/b.png").write_bytes(b"no image")
    code, found, err = asked(directory, tmp_path / "cases")
    assert (code, found["cases"]) == (0, 1)
    assert [each["file"] for each in found["unreadable"]] == [str(tmp_path / "cases/dark/b.png")]
    assert "left out" in err
    (tmp_path / "cases/dark/a.png").unlink()
    code, _, err = asked(directory, tmp_path / "cases")
    assert code == 1
    assert "none of 1 files is readable" in err


def test_masks_are_for_models_of_masks(tmp_path: Path, asked: Asked) -> None:
    segmentation, classifier = (
        write_artifact(tmp_path, name) for name in (SEGMENTATION, CLASSIFIER)
    )
    for name in ("images/a.png", "masks/a.png"):
        write_image(tmp_path / "cases" / name, 3)
    code, found, _ = asked(segmentation, tmp_path / "cases")
    assert (code, found["cases"]) == (0, 1)
    assert found["iou_before"] == found["iou_after"]
    assert 0 <= float(str(found["mae_after"])) <= 1
    code, _, err = asked(classifier, tmp_path / "cases")
    assert (code, "has masks" in err) == (1, True)
    write_image(tmp_path / "folders/dark/a.png", 1)
    code, _, err = asked(segmentation, tmp_path / "folders")
    assert (code, "has no images/ and masks/" in err) == (1, True)
    write_image(tmp_path / "cases/masks/a.png", 3, side=10)
    code, _, err = asked(segmentation, tmp_path / "cases")
    assert (code, "has 10 x 10 px; its image has 24 x 24" in err) == (1, True)


@pytest.mark.parametrize("graph", [DETECTOR, EMBEDDING])
def test_detectors_and_embeddings(graph: str, tmp_path: Path, asked: Asked) -> None:
    directory = write_artifact(tmp_path, graph)
    labels = load(directory).spec.labels or ("one", "two")
    for seed, label in enumerate([*labels[:2]] * 2):
        write_image(tmp_path / "cases" / label / f"{seed}.png", seed)
    code, found, err = asked(directory, tmp_path / "cases")
    assert (code, found.get("cases")) == (0, 4), err


@pytest.mark.parametrize("graph", [VOICE, GAIT])
def test_sounds_and_clips(graph: str, tmp_path: Path, shared: Path, asked: Asked) -> None:
    directory = write_artifact(tmp_path, graph)
    label = load(directory).spec.labels[0]
    source = "data/speech/emodb/anger" if graph == VOICE else "data/video"
    suffix = ".wav" if graph == VOICE else ".mp4"
    folder = tmp_path / "cases" / label
    folder.mkdir(parents=True)
    for path in sorted((shared / source).glob(f"*{suffix}"))[:2]:
        shutil.copy(path, folder)
    code, found, err = asked(directory, tmp_path / "cases")
    assert (code, found.get("cases"), found.get("unreadable")) == (0, 2, []), err


def test_artifacts_that_are_not_there(tmp_path: Path, asked: Asked) -> None:
    code, _, err = asked("nothing", tmp_path, "--out", tmp_path)
    assert (code, "holds no complete version" in err) == (1, True)
    directory = write_artifact(tmp_path, CLASSIFIER)
    code, _, err = asked(directory.parent.name, tmp_path / "gone", "--out", tmp_path)
    assert (code, "no such directory or CSV" in err) == (1, True)
    code, _, err = asked(directory, tmp_path, "--recipe", tmp_path / "mine.py")
    assert (code, "which is not given" in err) == (1, True)
    _add_rolled(directory)
    (directory / "float.onnx").unlink()
    code, _, err = asked(directory, tmp_path)
    assert (code, "--checkpoint PATH exports the reference again" in err) == (1, True)


def test_real_faces(shared: Path) -> None:
    """The folders of CK+ are named by nouns, and one of them is no class of FER2013."""
    faces = shared / "data/faces/ckplus48"
    names = {case.label for case in labelled(faces, PNG, ())}
    with pytest.raises(CasesError, match="'contempt': no class of this model; known: angry, "):
        matched(names, FEELINGS)
    cases = labelled(faces, PNG, ["contempt"])
    assert set(matched([case.label for case in cases], FEELINGS).values()) == set(FEELINGS[:6])
    assert len({case.label for case in limited(cases, 40)}) == 6
