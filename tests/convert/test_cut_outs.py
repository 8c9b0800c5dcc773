"""Cut-outs by the real U-2-Net weights, unrefined, against the masks of upstream's own code."""

from pathlib import Path

import cv2
import numpy as np
import pytest

import runtime
from runtime.manifest import read_manifest
from runtime.tasks.background import Options, background
from tests.convert.command_line import succeed
from tests.convert.test_models import iou, matting

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def version(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """background_u2netp from upstream's weights, everything by default."""
    directory = tmp_path_factory.mktemp("cut_outs")
    checkpoint = shared / "checkpoints/u2netp.pth"
    arguments = ("--checkpoint", checkpoint, "--out", directory)
    succeed("background_u2netp", *arguments, directory=directory)
    return directory / "background_u2netp/1"


def test_unrefined_cut_outs_are_upstreams(version: Path, shared: Path) -> None:
    """By every variant that is packaged; that INT8 is among them is another test's affair."""
    for variant in read_manifest(version).variants:
        judge(version, shared, variant.name)


def judge(version: Path, shared: Path, variant: str) -> None:
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
    assert np.mean(ious) >= 0.985, variant
    assert np.mean(errors) <= 0.005, variant
