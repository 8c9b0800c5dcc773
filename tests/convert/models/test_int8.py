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
from tests.convert.support.parity import rows

pytestmark = pytest.mark.slow


def test_u2netp_is_packaged_in_int8_and_keeps_its_masks(
    quantized_u2netp: Path, shared: Path
) -> None:
    manifest = read_manifest(quantized_u2netp)
    first, *_, last = manifest.variants
    assert (first.name, last.name) == ("int8", "float")
    # one file for every CPU, or a second one for those without VNNI
    assert any("avx2" in variant.cpu_features for variant in manifest.variants)
    assert all(variant.batch_invariant for variant in manifest.variants)
    paths = matting(shared)
    images = [preprocess(decode_image(p.read_bytes()), manifest.spec.preprocess) for p in paths]
    batch = np.stack(images)
    reference, served = (
        run_samples(quantized_u2netp / f"{name}.onnx", rows(batch)) for name in ("float", "int8")
    )
    metrics = measure(reference, served).metrics
    print(f"u2netp INT8 on {len(paths)} photos: {metrics}")
    assert len(paths) >= 9
    assert metrics["iou_mean"] >= 0.985
    assert metrics["mae"] <= 0.004


def test_the_search_left_little_in_float(quantized_u2netp: Path) -> None:
    manifest = read_manifest(quantized_u2netp)
    candidate = next(c for c in manifest.candidates if c["name"] == manifest.choice["operators"])
    assert candidate["integer_operators"] > 150
    # a third of float's file, not half: the float layers are few
    int8, *_, plain = (sum(f.size_bytes for f in v.files) for v in manifest.variants)
    assert int8 <= 0.45 * plain
