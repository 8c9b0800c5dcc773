"""Refined edges and cleaned colours, on scenes whose alpha is known."""

import numpy as np
import pytest

from runtime.cutout.matting import EPSILON, HAZE, Matte, clean, refine, upscale
from tests.runtime.support.cut_outs import coarse_matte, disc, noise


def test_refining_in_small_tiles_equals_refining_in_large_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image, alpha = disc(300, 420)
    whole = refine(image, coarse_matte(image, alpha))
    monkeypatch.setattr("runtime.cutout.tiles.SIDE_PX", 64)
    in_tiles = refine(image, coarse_matte(image, alpha))
    assert np.abs(whole.astype(int) - in_tiles).max() <= 1  # rounding of sums


@pytest.mark.parametrize("grey", [False, True])
def test_refined_edges_are_closer_to_the_true_alpha(grey: bool) -> None:
    image, alpha = disc(400, 400)
    if grey:  # equal channels: a division by their determinant would fail
        image = np.repeat(image.mean(axis=2).astype(np.uint8)[..., np.newaxis], 3, axis=2)
    matte = coarse_matte(image, alpha)
    scaled, refined = (
        np.abs(levels / 255.0 - alpha).mean()
        for levels in (upscale(matte, 400, 400), refine(image, matte))
    )
    assert refined < 0.5 * scaled  # measured: 0.43


def test_without_an_edge_in_the_image_the_mask_stays_smooth() -> None:
    image, alpha = disc(300, 300)
    matte = coarse_matte(np.full_like(image, 90), alpha)
    refined, scaled = refine(matte.small, matte) / 255.0, upscale(matte, 300, 300) / 255.0
    # averaged twice over two cells on either side, then stretched by HAZE
    assert np.abs(refined - scaled).max() < 0.4
    assert abs(refined.mean() - scaled.mean()) < 0.01


def test_a_constant_mask_does_not_change() -> None:
    image = noise(70, 90, 3)
    for value in (0.0, 1.0):
        matte = Matte(image, np.full((70, 90), value, np.float32), 3.0)
        assert np.all(refine(image, matte) == round(255 * value))


def test_an_alpha_that_is_linear_in_the_colour_is_fitted() -> None:
    ramp = np.tile(np.linspace(0, 255, 200), (150, 1))
    image = np.repeat(np.rint(ramp).astype(np.uint8)[..., np.newaxis], 3, axis=2)
    alpha = (image[..., 0] / 255).astype(np.float32)
    refined = refine(image, Matte(image, alpha, 2.0)) / 255
    expected = np.clip((alpha - HAZE) / (1 - 2 * HAZE), 0, 1)
    # the ramp's variance over 9 px is some 1e-4, which EPSILON regularizes
    assert np.abs(refined - expected)[:, 20:-20].max() <= 0.02
    assert EPSILON <= 1e-5


def test_soft_pixels_lose_the_old_background() -> None:
    image, alpha = disc(300, 300)
    levels = np.rint(alpha * 255).astype(np.uint8)
    cleaned = image.copy()
    clean(cleaned, levels, Matte(image, alpha, 3.0))
    soft = (levels > 60) & (levels < 255)
    orange = np.array([240, 150, 20])
    before, after = (np.abs(pixels[soft] - orange).mean() for pixels in (image, cleaned))
    assert before > 25
    assert after < 6
    np.testing.assert_array_equal(cleaned[levels == 255], image[levels == 255])
    np.testing.assert_array_equal(cleaned[levels == 0], image[levels == 0])
