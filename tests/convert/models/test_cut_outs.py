"""Cut-outs by the real U-2-Net weights, unrefined, against the masks of upstream's own code."""

from pathlib import Path

import cv2
import numpy as np
import pytest

import runtime
from convert.models.background_u2netp import RECIPE
from runtime.artifact.manifest import read_manifest
from runtime.results import Alpha
from runtime.tasks.background import Options, background
from tests.convert.models.test_recipes import iou, matting

pytestmark = pytest.mark.slow


def test_unrefined_cut_outs_are_upstreams(quantized_u2netp: Path, shared: Path) -> None:
    overlap, error = against_upstream(quantized_u2netp, shared, "float")
    assert overlap >= 0.985
    assert error <= 0.005


def test_cut_outs_in_int8_stay_by_those_in_float(quantized_u2netp: Path, shared: Path) -> None:
    """Compare cut-outs of photos; upstream's masks are 0.007 further away than float is."""
    exact = runtime.load(quantized_u2netp, variant="float")
    for variant in read_manifest(quantized_u2netp).variants[:-1]:
        model = runtime.load(quantized_u2netp, variant=variant.name)
        pairs = [[item.predict(p.read_bytes()) for item in (exact, model)] for p in matting(shared)]
        alphas = [[item.values for item in pair if isinstance(item, Alpha)] for pair in pairs]
        ious = [iou(plain, integer) for plain, integer in alphas]
        errors = [np.abs(plain - integer).mean() for plain, integer in alphas]
        print(f"{variant.name}: mean IoU {np.mean(ious):.4f}, MAE {np.mean(errors):.4f}")
        assert np.mean(ious) >= RECIPE.tolerance.at_least["iou_mean"]
        assert np.mean(errors) <= RECIPE.tolerance.at_most["mae"]
        _, error = against_upstream(quantized_u2netp, shared, variant.name)
        assert error <= 0.005


def against_upstream(version: Path, shared: Path, variant: str) -> tuple[float, float]:
    """Return mean IoU and mean absolute error against upstream's masks."""
    model = runtime.load(version, variant=variant)
    plain = Options(method="model", refine=False, clean=False)
    ious, errors = [], []
    for path in matting(shared):
        mask = shared / f"data/matting/u2netp_results/{path.stem}.png"
        upstream = cv2.imread(str(mask), cv2.IMREAD_GRAYSCALE)
        assert upstream is not None
        alpha = background(path.read_bytes(), model, plain).alpha
        scaled = cv2.resize(alpha, upstream.shape[::-1], interpolation=cv2.INTER_LINEAR)
        ious.append(iou(scaled / 255, upstream / 255))
        errors.append(float(np.abs(scaled / 255 - upstream / 255).mean()))
    print(f"{variant}: mean IoU {np.mean(ious):.4f}, MAE {np.mean(errors):.4f}, {len(ious)} masks")
    assert len(ious) >= 9
    return float(np.mean(ious)), float(np.mean(errors))
