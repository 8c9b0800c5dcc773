"""Real weights in INT8, on photos that calibration never saw (it saw drawings)."""

from pathlib import Path

import numpy as np
import pytest

from convert.metrics import measure
from convert.verify.parity import run_samples
from runtime.artifact.manifest import read_manifest
from runtime.media.images.decode import decode_image
from runtime.media.images.preprocess import preprocess
from tests.convert.models.test_recipes import matting
from tests.convert.support.command_line import succeed
from tests.convert.support.parity import rows

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def version(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """background_u2netp from upstream's weights, everything by default."""
    directory = tmp_path_factory.mktemp("int8")
    checkpoint = shared / "checkpoints/u2netp.pth"
    succeed(
        "background_u2netp", "--checkpoint", checkpoint, "--out", directory, directory=directory
    )
    return directory / "background_u2netp/1"


def test_u2netp_is_packaged_in_int8_and_keeps_its_masks(version: Path, shared: Path) -> None:
    manifest = read_manifest(version)
    first, *_, last = manifest.variants
    assert (first.name, last.name) == ("int8", "float")
    # one file for every CPU, or a second one for those without VNNI
    assert any("avx2" in variant.cpu_features for variant in manifest.variants)
    assert all(variant.batch_invariant for variant in manifest.variants)
    paths = matting(shared)
    images = [preprocess(decode_image(p.read_bytes()), manifest.spec.preprocess) for p in paths]
    batch = np.stack(images)
    reference, served = (
        run_samples(version / f"{name}.onnx", rows(batch)) for name in ("float", "int8")
    )
    metrics = measure(reference, served).metrics
    print(f"u2netp INT8 on {len(paths)} photos: {metrics}")
    assert len(paths) >= 9
    assert metrics["iou_mean"] >= 0.985
    assert metrics["mae"] <= 0.004


def test_the_search_left_little_in_float(version: Path) -> None:
    manifest = read_manifest(version)
    candidate = next(c for c in manifest.candidates if c["name"] == manifest.choice["operators"])
    assert candidate["integer_operators"] > 150
    # a third of float's file, not half: the float layers are few
    int8, *_, plain = (sum(f.size_bytes for f in v.files) for v in manifest.variants)
    assert int8 <= 0.45 * plain
