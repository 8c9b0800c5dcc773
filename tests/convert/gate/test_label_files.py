"""Files of labels that people have, and bad ones."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from convert.errors import LabelsError
from convert.gate import label_files
from convert.gate.label_files import beside, find_boxes, find_mask, read_boxes, read_mask
from runtime.media.suffixes import IMAGES

LABELS = ("cat", "dog")


def boxes(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "a.txt"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_boxes_are_center_and_size_or_a_polygon(tmp_path: Path) -> None:
    text = "\ufeff0 0.5 0.5 0.2 0.4\r\n\n1 0.1 0.2 0.3 0.2 0.2 0.6\n1 0.05 0.5 0.1004 1\n"
    shares = read_boxes(boxes(tmp_path, text), LABELS)
    assert shares.classes.tolist() == [0, 1, 1]
    expected = [[0.4, 0.3, 0.6, 0.7], [0.1, 0.2, 0.3, 0.6], [0, 0, 0.1002, 1]]
    np.testing.assert_allclose(shares.xyxy, expected)
    assert read_boxes(boxes(tmp_path, ""), LABELS).xyxy.shape == (0, 4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0 0.5 0.5 0.2", r"a\.txt, line 1: 4 values; needed: class x y width height"),
        ("0 0.5 0.5 0.2 0.2 0.9", r"line 1: 6 values"),
        ("\n2 0.5 0.5 0.2 0.2", r"line 2: the class is '2'; allowed: 0 \(cat\) to 1 \(dog\)"),
        ("cat 0.5 0.5 0.2 0.2", r"the class is 'cat'; allowed: 0 \(cat\) to 1"),
        ("-1 0.5 0.5 0.2 0.2", "the class is '-1'"),
        ("\u0661 0.5 0.5 0.2 0.2", "the class is '\u0661'"),
        ("0 320 240 50 60", "320 is no share of the image's sides; allowed: 0 to 1, not px"),
        ("0 nan 0.5 0.2 0.2", "nan is no share"),
        ("0 x 0.5 0.2 0.2", "could not convert string to float: 'x'; needed: shares"),
        ("0 0.5 0.5 0 0.2", "the box has no area"),
        (b"\xff\xfe0", "labels are text in UTF-8; byte 0 is not"),
    ],
)
def test_a_bad_file_gets_a_sentence(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(LabelsError, match=message):
        read_boxes(boxes(tmp_path, text), LABELS)


def test_files_have_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_files, "MAX_BOXES", 2)
    path = boxes(tmp_path, "0 0.5 0.5 0.2 0.2\n" * 3)
    with pytest.raises(LabelsError, match="3 boxes; allowed: 2"):
        read_boxes(path, LABELS)
    monkeypatch.setattr(label_files, "MAX_FILE_BYTES", 50)
    with pytest.raises(LabelsError, match="54 bytes of labels; allowed: 50"):
        read_boxes(path, LABELS)


def write(path: Path, side: int = 8) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), np.zeros((side, side, 3), np.uint8))
    return path


def test_labels_are_found_beside_images(tmp_path: Path) -> None:
    image = write(tmp_path / "images/train/a.b.png")
    assert beside(image, "labels") == tmp_path / "labels/train/a.b.png"
    assert find_boxes(image) is None
    below = tmp_path / "labels/train/a.b.txt"
    below.parent.mkdir(parents=True)
    below.write_text("")
    assert find_boxes(image) == below
    alone = write(tmp_path / "b.png")
    alone.with_suffix(".txt").write_text("")
    assert find_boxes(alone) == tmp_path / "b.txt"
    assert find_mask(image) is None
    assert find_mask(alone) is None
    mask = write(tmp_path / "masks/train/a.b.jpg")
    assert find_mask(image) == mask
    assert find_mask(mask) is None


def test_of_several_masks_the_choice_is_always_the_same(tmp_path: Path) -> None:
    image = write(tmp_path / "images/a.png")
    masks = [tmp_path / "masks" / f"a{suffix}" for suffix in IMAGES]
    masks[0].parent.mkdir()
    for mask in masks:
        mask.touch()
    assert find_mask(image) == tmp_path / "masks/a.png"
    (tmp_path / "masks/a.png").unlink()
    assert find_mask(image) == tmp_path / "masks/a.avif"


def test_a_mask_has_the_size_of_its_image(tmp_path: Path) -> None:
    mask = write(tmp_path / "masks/a.png")
    assert read_mask(mask, 8, 8).shape == (8, 8, 3)
    with pytest.raises(LabelsError, match=r"a\.png has 8 x 8 px; its image has 9 x 8"):
        read_mask(mask, 8, 9)
    mask.write_bytes(b"no image")
    with pytest.raises(LabelsError, match=r"a\.png: "):
        read_mask(mask, 8, 8)
