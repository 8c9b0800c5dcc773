import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convert.export.numerics import ImageInput
from convert.metrics import Outputs
from convert.models.image_embedding_mobilenetv2 import RECIPE
from convert.recipe import Loaded
from convert.samples.golden import LIMIT_BYTES, golden_samples, write_golden
from convert.samples.sets import Samples, collate
from runtime.artifact.manifest import Resize
from runtime.media.images.decode import decode_image
from runtime.media.images.preprocess import preprocess
from tests.convert.support import nets


def loaded(side: int) -> Loaded:
    return replace(
        nets.loaded(nets.convolutions(layers=1)),
        input=ImageInput(side, side, 3, mean=(0.5,) * 3, std=(0.25,) * 3),
        preprocess=(Resize("linear", height=side, width=side),),
    )


def means(samples: Samples) -> Outputs:
    """Answer, as a reference, with the mean of each channel."""
    image = collate(samples)["image"].astype(np.float32)
    return {"probabilities": image.mean(axis=(1, 2)) / np.float32(255)}


def test_samples_are_decoded_and_preprocessed_as_served() -> None:
    files, samples, conditions = golden_samples(RECIPE, loaded(8))
    assert conditions == [None] * len(files)
    for data, feeds in zip(files, samples, strict=True):
        steps = (Resize("linear", height=8, width=8),)
        np.testing.assert_array_equal(preprocess(decode_image(data), steps), feeds["image"][0])


def test_outputs_of_small_samples_are_exact(tmp_path: Path) -> None:
    path = tmp_path / "golden.npz"
    golden = write_golden(path, RECIPE, loaded(8), means)
    with np.load(path) as arrays:
        assert arrays["input/image"].shape == (len(golden.samples), 8, 8, 3)
        exact = means(golden.samples)["probabilities"]
        np.testing.assert_array_equal(arrays["output/probabilities"], exact)
        assert arrays["media/0"].tobytes().startswith(b"\x89PNG")


def test_large_samples_are_simplified_to_fit(tmp_path: Path) -> None:
    path = tmp_path / "golden.npz"
    golden = write_golden(path, RECIPE, loaded(800), means)
    assert path.stat().st_size <= LIMIT_BYTES
    assert golden.samples
    # not flat: a picture is left
    assert collate(golden.samples)["image"].std() > 10
    exact = means(golden.samples)["probabilities"]
    np.testing.assert_allclose(golden.outputs["probabilities"], exact, atol=0.51e-5)


def test_one_sample_is_written_whatever_its_size(tmp_path: Path) -> None:
    def noise(samples: Samples) -> Outputs:
        shape = (len(samples), 400_000)
        return {"embedding": np.random.default_rng(0).normal(size=shape).astype(np.float32)}

    assert len(write_golden(tmp_path / "golden.npz", RECIPE, loaded(8), noise).samples) == 1


def test_golden_repeats_byte_for_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_golden(tmp_path / "a.npz", RECIPE, loaded(8), means)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    write_golden(tmp_path / "b.npz", RECIPE, loaded(8), means)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
