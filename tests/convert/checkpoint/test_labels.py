import json
from pathlib import Path
from typing import Any

import pytest

from convert.checkpoint.labels import ordered_labels, read_labels_file
from convert.errors import LabelsError

NAMES = ("angry", "très content", "neutral")


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize(
    "content",
    [
        "\n".join(NAMES),
        "\n".join(NAMES) + "\n\n",
        "\r\n".join(NAMES) + "\r\n",
        "\ufeff" + " \n".join(NAMES),
    ],
    ids=["lines", "empty lines at the end", "Windows", "byte order mark and spaces"],
)
def test_text_has_one_name_a_line(tmp_path: Path, content: str) -> None:
    assert read_labels_file(write(tmp_path / "labels.txt", content)) == NAMES


@pytest.mark.parametrize(
    "names",
    [
        list(NAMES),
        {"2": NAMES[2], "0": NAMES[0], "1": NAMES[1]},
        {NAMES[1]: 1, NAMES[2]: 2, NAMES[0]: 0},
    ],
    ids=["list", "name by index", "index by name"],
)
def test_json_has_names_in_any_of_three_forms(tmp_path: Path, names: Any) -> None:
    path = write(tmp_path / "labels.json", json.dumps(names, ensure_ascii=False))
    assert read_labels_file(path) == NAMES


def test_indices_may_be_numbers_and_names_digits() -> None:
    assert ordered_labels({1: "b", 0: "a"}) == ("a", "b")
    assert ordered_labels({"7": 0, "3": 1}) == ("7", "3")
    assert ordered_labels(("0", "1")) == ("0", "1")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds no names"),
        ("\n\n", "holds no names"),
        ("a\n\nb", "line 2 is empty; needed: one name a line"),
        ("a\nb\na\n", "label 'a' is listed twice; labels must be unique"),
        (b"a\n\xff\n", "not UTF-8 text (byte 2)"),
    ],
    ids=["empty", "empty lines", "gap", "twice", "not text"],
)
def test_bad_text_is_refused(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = write(tmp_path / "labels.txt", content)
    with pytest.raises(LabelsError) as caught:
        read_labels_file(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("3", "holds a int; needed: a list of names"),
        ("[]", "holds no names"),
        ("{}", "holds no names"),
        ('["a", ""]', "name 1 is ''; needed: text that is not empty"),
        ('["a", 3]', "name 1 is 3; needed: text"),
        ('["a", "a"]', "label 'a' is listed twice; labels must be unique"),
        ('{"0": "a", "1": "a"}', "label 'a' is listed twice; labels must be unique"),
        ('{"0": "a", "2": "b"}', "has the indices 0, 2; needed: each of 0 to 1 once"),
        ('{"1": "a", "2": "b"}', "has the indices 1, 2; needed: each of 0 to 1 once"),
        ('{"a": 0, "b": 0}', "has the indices 0, 0; needed: each of 0 to 1 once"),
        ('{"0": "a", "0": "b"}', "key '0' is listed twice; keys must be unique"),
        ('{"a": "b"}', "'a': 'b' is no index and name"),
        ('{"a": true}', "'a': True is no index and name"),
    ],
)
def test_bad_json_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = write(tmp_path / "labels.json", content)
    with pytest.raises(LabelsError) as caught:
        read_labels_file(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)


def test_missing_directory_and_huge_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelsError, match=r"nowhere\.txt: cannot be read: No such file"):
        read_labels_file(tmp_path / "nowhere.txt")
    with pytest.raises(LabelsError, match="cannot be read: Is a directory"):
        read_labels_file(tmp_path)
    with pytest.raises(LabelsError, match="labels have at most"):
        read_labels_file(write(tmp_path / "huge.txt", b"a" * 10_000_001))
