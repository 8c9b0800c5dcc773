"""The cut-out task: by a model, by GrabCut, and its errors."""

from pathlib import Path

import numpy as np
import pytest

from runtime import load
from runtime.errors import InputError
from runtime.results import DEGENERATE
from runtime.tasks.background import FELL_BACK, GRABCUT, NO_MODEL, Options, background
from tests.runtime.support.cut_outs import disc, noise
from tests.support.artifacts import CLASSIFIER, SEGMENTATION, write_artifact


def test_without_a_model_grabcut_answers_with_a_warning() -> None:
    image, alpha = disc(240, 300)
    original = image.copy()
    cut_out = background(image, None)
    assert (cut_out.method, cut_out.warnings) == ("grabcut", (NO_MODEL,))
    assert cut_out.provenance == GRABCUT
    mask, true_mask = cut_out.alpha > 127, alpha > 0.5
    assert (mask & true_mask).sum() / (mask | true_mask).sum() > 0.8  # measured: 0.83
    np.testing.assert_array_equal(image, original)
    assert background(image, None, Options(method="grabcut")).warnings == ()
    with pytest.raises(InputError, match="method is 'model' and there is none"):
        background(image, None, Options(method="model"))


def test_grabcut_replaces_a_degenerate_mask_unless_the_model_is_required(tmp_path: Path) -> None:
    model = load(write_artifact(tmp_path, SEGMENTATION))
    image, _ = disc(64, 64)
    # one brightness, which is all that the tiny model sees
    flat = np.full((64, 64, 3), (90, 90, 90), np.uint8)
    flat[20:44, 20:44] = (150, 60, 60)
    cut_out = background(image, model)
    assert (cut_out.method, cut_out.provenance) == ("model", model.provenance)
    fallback = background(flat, model)
    assert (fallback.method, fallback.warnings) == ("grabcut", (FELL_BACK,))
    degenerate = background(flat, model, Options(method="model"))
    assert (degenerate.method, degenerate.warnings) == ("model", (DEGENERATE,))


def test_other_models_and_arrays_are_refused(tmp_path: Path) -> None:
    classifier = load(write_artifact(tmp_path, CLASSIFIER))
    with pytest.raises(InputError, match="face_emotion_xception is for image-classif"):
        background(noise(4, 4, 3), classifier)
    with pytest.raises(InputError, match=r"image is uint8 \(4, 4\); allowed: uint8 \(H, W, 3\)"):
        background(noise(4, 4), None)


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (2, 2), (1200, 3)])
def test_images_of_odd_shapes_are_cut_out(tmp_path: Path, shape: tuple[int, int]) -> None:
    segmenter = load(write_artifact(tmp_path, SEGMENTATION))
    for model in (segmenter, None):
        cut_out = background(noise(*shape, 3), model)
        assert cut_out.alpha.shape == shape
        assert cut_out.to_json()["height"] == shape[0]
