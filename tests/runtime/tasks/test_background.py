from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from runtime import load
from runtime.cutout.grabcut import grabcut
from runtime.cutout.matting import EPSILON, HAZE, Matte, clean, refine, upscale
from runtime.cutout.tiles import SIDE_PX, covering, scaled_part, windows
from runtime.errors import InputError
from runtime.results import DEGENERATE
from runtime.tasks.background import FELL_BACK, NO_MODEL, Options, background
from tests.support.artifacts import CLASSIFIER, SEGMENTATION, write_artifact

Pixels = NDArray[np.uint8]


def noise(*shape: int) -> Pixels:
    return np.random.default_rng(sum(shape)).integers(0, 256, shape, np.uint8)


def scene(height: int, width: int) -> tuple[Pixels, NDArray[np.float32]]:
    """An orange disc with a soft edge before blue, and its alpha."""
    mask = np.zeros((height, width), np.uint8)
    cv2.circle(mask, (width // 2, height // 2), min(height, width) // 3, 255, -1)
    alpha = (cv2.GaussianBlur(mask, (0, 0), 3) / 255).astype(np.float32)
    share = alpha[..., np.newaxis]
    mixed = share * np.array([240, 150, 20]) + (1 - share) * np.array([20, 40, 160])
    return np.rint(mixed).astype(np.uint8), alpha


def coarse(image: Pixels, alpha: NDArray[np.float32], cells: int = 32) -> Matte:
    """What a mask of `cells` x `cells` knows of it, at the image's own size."""
    small = cv2.resize(alpha, (cells, cells), interpolation=cv2.INTER_AREA)
    scaled = cv2.resize(small, alpha.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return Matte(image, np.asarray(scaled, np.float32), max(alpha.shape) / cells)


@pytest.mark.parametrize("size", [(1, 1), (512, 512), (513, 1100), (7, 2000)])
def test_windows_cover_each_pixel_once(size: tuple[int, int]) -> None:
    seen = np.zeros(size, int)
    for part in windows(*size):
        assert max(seen[part].shape) <= SIDE_PX
        seen[part] += 1
    assert np.all(seen == 1)


@pytest.mark.parametrize(
    ("source", "target"), [((30, 40), (300, 611)), ((1, 50), (1, 700)), ((64, 64), (64, 64))]
)
def test_parts_of_a_scaled_picture_are_opencvs(
    source: tuple[int, int], target: tuple[int, int]
) -> None:
    picture = cv2.GaussianBlur(noise(*source, 3), (0, 0), 1).reshape(*source, 3).astype(np.float32)
    expected = cv2.resize(picture, target[::-1], interpolation=cv2.INTER_LINEAR)
    expected = expected.reshape(*target, 3)
    part = (slice(target[0] // 3, target[0]), slice(target[1] // 4, target[1] // 2))
    at = tuple(
        covering(span, source=length, target=wanted, margin=0)
        for span, length, wanted in zip(part, source, target, strict=True)
    )
    found = scaled_part(picture[at], at=(at[0], at[1]), source=source, part=part, target=target)
    # 1/32 px of a step between neighbours, of at most 255 levels
    assert np.abs(found.reshape(expected[part].shape) - expected[part]).max() <= 255 / 32


def test_refined_in_windows_is_refined_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    image, alpha = scene(300, 420)
    found = refine(image, coarse(image, alpha))
    monkeypatch.setattr("runtime.cutout.tiles.SIDE_PX", 64)
    in_windows = refine(image, coarse(image, alpha))
    assert np.abs(found.astype(int) - in_windows).max() <= 1  # rounding of sums


@pytest.mark.parametrize("grey", [False, True])
def test_refined_edges_are_the_images(grey: bool) -> None:
    image, alpha = scene(400, 400)
    if grey:  # its three channels are equal: nothing may be divided by their determinant
        image = np.repeat(image.mean(axis=2).astype(np.uint8)[..., np.newaxis], 3, axis=2)
    matte = coarse(image, alpha)
    plain, refined = (
        np.abs(levels / 255.0 - alpha).mean()
        for levels in (upscale(matte, 400, 400), refine(image, matte))
    )
    assert refined < 0.5 * plain  # found 0.43


def test_where_the_image_shows_no_edge_the_mask_stays_smooth() -> None:
    image, alpha = scene(300, 300)
    matte = coarse(np.full_like(image, 90), alpha)
    refined, plain = refine(matte.small, matte) / 255.0, upscale(matte, 300, 300) / 255.0
    # averaged twice over two cells to either side, then stretched by HAZE
    assert np.abs(refined - plain).max() < 0.4
    assert abs(refined.mean() - plain.mean()) < 0.01


def test_a_mask_of_one_value_stays_as_it_is() -> None:
    image = noise(70, 90, 3)
    for value in (0.0, 1.0):
        matte = Matte(image, np.full((70, 90), value, np.float32), 3.0)
        assert np.all(refine(image, matte) == round(255 * value))


def test_an_alpha_that_is_linear_in_the_colour_is_found() -> None:
    ramp = np.tile(np.linspace(0, 255, 200), (150, 1))
    image = np.repeat(np.rint(ramp).astype(np.uint8)[..., np.newaxis], 3, axis=2)
    alpha = (image[..., 0] / 255).astype(np.float32)
    refined = refine(image, Matte(image, alpha, 2.0)) / 255
    expected = np.clip((alpha - HAZE) / (1 - 2 * HAZE), 0, 1)
    # the variance of the ramp over 9 px is some 1e-4, of which EPSILON takes its part
    assert np.abs(refined - expected)[:, 20:-20].max() <= 0.02
    assert EPSILON <= 1e-5


def test_soft_pixels_lose_the_old_background() -> None:
    image, alpha = scene(300, 300)
    levels = np.rint(alpha * 255).astype(np.uint8)
    cleaned = image.copy()
    clean(cleaned, levels, Matte(image, alpha, 3.0))
    soft = (levels > 60) & (levels < 255)
    orange = np.array([240, 150, 20])
    before, after = (np.abs(each[soft] - orange).mean() for each in (image, cleaned))
    assert before > 25
    assert after < 6
    np.testing.assert_array_equal(cleaned[levels == 255], image[levels == 255])
    np.testing.assert_array_equal(cleaned[levels == 0], image[levels == 0])


@pytest.mark.parametrize(
    "shape", [(1, 1), (2, 2), (1, 3), (3, 1), (2, 3), (5, 1), (1, 5000), (7, 9)]
)
@pytest.mark.parametrize("kind", ["flat", "noise"])
def test_grabcut_takes_any_shape(shape: tuple[int, int], kind: str) -> None:
    image = noise(*shape, 3) if kind == "noise" else np.full((*shape, 3), 77, np.uint8)
    mask = grabcut(image)
    assert set(np.unique(mask)) <= {0.0, 1.0}
    np.testing.assert_array_equal(mask, grabcut(image))


def test_grabcut_without_a_model_says_so() -> None:
    image, alpha = scene(240, 300)
    kept = image.copy()
    found = background(image, None)
    assert (found.method, found.warnings) == ("grabcut", (NO_MODEL,))
    ours, true = found.alpha > 127, alpha > 0.5
    assert (ours & true).sum() / (ours | true).sum() > 0.8  # found 0.83
    np.testing.assert_array_equal(image, kept)
    assert background(image, None, Options(method="grabcut")).warnings == ()
    with pytest.raises(InputError, match="method is 'model' and there is none"):
        background(image, None, Options(method="model"))


def test_a_degenerate_mask_is_replaced_or_told(tmp_path: Path) -> None:
    model = load(write_artifact(tmp_path, SEGMENTATION))
    image, _ = scene(64, 64)
    # of one brightness, which is all that the tiny model sees
    flat = np.full((64, 64, 3), (90, 90, 90), np.uint8)
    flat[20:44, 20:44] = (150, 60, 60)
    assert background(image, model).method == "model"
    found = background(flat, model)
    assert (found.method, found.warnings) == ("grabcut", (FELL_BACK,))
    told = background(flat, model, Options(method="model"))
    assert (told.method, told.warnings) == ("model", (DEGENERATE,))


def test_what_is_refused(tmp_path: Path) -> None:
    classifier = load(write_artifact(tmp_path, CLASSIFIER))
    with pytest.raises(InputError, match="face_emotion_xception is for image-classif"):
        background(noise(4, 4, 3), classifier)
    with pytest.raises(InputError, match=r"image is uint8 \(4, 4\); allowed: uint8 \(H, W, 3\)"):
        background(noise(4, 4), None)


@pytest.mark.parametrize("shape", [(1, 1), (1, 3000), (2, 2), (1200, 3)])
def test_odd_shapes_are_cut_out(tmp_path: Path, shape: tuple[int, int]) -> None:
    model = load(write_artifact(tmp_path, SEGMENTATION))
    for given in (model, None):
        found = background(noise(*shape, 3), given)
        assert found.alpha.shape == shape
        assert found.to_json()["height"] == shape[0]
