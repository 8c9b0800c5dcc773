import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch  # noqa: TID253 - in a process without TensorFlow

from convert.checkpoint import read_labels
from tests.convert.support.checkpoint_files import Plants, network, onnx_bytes, refusal, saved

NAMES = ("angry", "happy", "sad")


def write(path: Path, **extras: Any) -> Path:
    path.write_bytes(saved({"state_dict": network().state_dict(), "epoch": 3, **extras}))
    return path


@pytest.mark.parametrize(
    "extras",
    [
        {"class_names": list(NAMES)},
        {"classes": NAMES},
        {"classes": np.array(NAMES)},
        {"labels": list(NAMES)},
        {"names": {2: "sad", 0: "angry", 1: "happy"}},
        {"class_to_idx": {"sad": 2, "happy": 1, "angry": 0}},
        {"class_to_idx": {"sad": np.int64(2), "happy": np.int64(1), "angry": np.int64(0)}},
        {"idx_to_class": {0: "angry", 1: "happy", 2: "sad"}},
        {"id2label": {"0": "angry", "1": "happy", "2": "sad"}},
        {"label2id": {"angry": 0, "happy": 1, "sad": 2}},
        {"config": {"id2label": {0: "angry", 1: "happy", 2: "sad"}}},
        {"hyper_parameters": {"class_names": list(NAMES), "lr": 1e-3}},
        {"args": argparse.Namespace(class_names=list(NAMES), lr=1e-3)},
        {"classes": list(NAMES), "class_to_idx": {"angry": 0, "happy": 1, "sad": 2}},
    ],
    ids=lambda extras: "+".join(f"{key} {type(value).__name__}" for key, value in extras.items()),
)
def test_class_names_are_found_in_output_order(path: Path, extras: dict[str, Any]) -> None:
    assert read_labels(write(path, **extras)) == NAMES


@pytest.mark.parametrize(
    "extras",
    [
        {},
        {"classes": 7},
        {"labels": torch.tensor([0, 1])},
        {"labels": [0, 1, 1]},
        {"names": []},
        {"names": {}},
        {"names": "emotions"},
        {"label2id": {"a": [0]}},
        {"args": "--lr 3"},
    ],
    ids=lambda extras: "+".join(f"{key} {value}" for key, value in extras.items()),
)
def test_values_that_name_no_classes_are_skipped(path: Path, extras: dict[str, Any]) -> None:
    assert read_labels(write(path, **extras)) == ()


def test_bare_state_dict_has_no_names(path: Path) -> None:
    path.write_bytes(saved(network().state_dict()))
    assert read_labels(path) == ()
    path.write_bytes(saved([1, 2]))
    assert read_labels(path) == ()


@pytest.mark.parametrize(
    ("extras", "message"),
    [
        ({"classes": ["a", "b", "a"]}, "classes: label 'a' is listed twice"),
        ({"id2label": {0: "a", 2: "b"}}, "id2label: has the indices 0, 2; needed: each of 0 to 1"),
        ({"class_names": ["a", ""]}, "class_names: name 1 is ''"),
        (
            {"classes": ["a", "b"], "class_to_idx": {"a": 1, "b": 0}},
            "classes says a, b, but class_to_idx says b, a",
        ),
        (
            {"classes": ["a", "b"], "config": {"id2label": {0: "a", 1: "c"}}},
            "classes says a, b, but config.id2label says a, c",
        ),
    ],
    ids=["twice", "gap", "empty", "two orders", "two places"],
)
def test_contradictory_names_are_refused(path: Path, extras: dict[str, Any], message: str) -> None:
    assert message in refusal(read_labels, write(path, **extras))


def test_code_in_place_of_names_is_refused_and_does_not_run(path: Path, tmp_path: Path) -> None:
    write(path, class_names=Plants(tmp_path / "planted"))
    assert "would have to run code" in refusal(read_labels, path)
    assert not (tmp_path / "planted").exists()


def test_other_kinds_are_refused(path: Path) -> None:
    path.write_bytes(onnx_bytes())
    assert "an ONNX file; this model is read from a torch" in refusal(read_labels, path)
