"""Synthetic voices, recordings as media of a conversion, and the waveform's numerics."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from convert.export.numerics import Probabilities, WaveformInput, attach
from convert.export.numerics.waveform import EPSILON
from convert.recipe import Loaded
from convert.samples import procedural
from convert.samples.media import MODALITIES
from convert.samples.procedural.voices import (
    LENGTHS,
    SAMPLING_RATE,
    generate_voice,
    generate_voices,
)
from runtime.artifact.manifest import Resample
from runtime.engine.session import Session
from runtime.errors import DecodeError

VOICES = MODALITIES["voice"]
SPLITS = (
    procedural.CALIBRATION, procedural.EVALUATION, procedural.GOLDEN, procedural.SAMPLES,
)  # fmt: skip


def loaded_without_network(sampling_rate: int) -> Loaded:
    """Return everything that feeds depend on."""
    network = None
    return Loaded(
        network=network,  # type: ignore[arg-type]  # preprocessing does not use it
        input=WaveformInput(standardize=True),
        head=Probabilities(softmax=True),
        preprocess=(Resample(sampling_rate),),
    )


@pytest.mark.parametrize("split", SPLITS)
def test_voices_repeat_whatever_their_number(split: int) -> None:
    few, many = generate_voices(split, 2), generate_voices(split, 5)

    assert all((a == b).all() for a, b in zip(few, many[:2], strict=True))


def test_no_voice_is_in_two_splits() -> None:
    beginnings = [
        voice.tobytes()[: 4 * SAMPLING_RATE]
        for split in SPLITS
        for voice in generate_voices(split, 4)
    ]

    assert len(set(beginnings)) == len(beginnings)


def test_voices_are_waveforms_of_various_levels() -> None:
    voices = generate_voices(procedural.CALIBRATION, 16)

    peaks = [float(np.abs(waveform).max()) for waveform in voices]
    assert {(waveform.dtype.name, waveform.size) for waveform in voices} == {("float32", 48_000)}
    assert min(peaks) < 0.1
    assert 0.8 < max(peaks) <= 1
    assert max(abs(float(waveform.mean())) for waveform in voices) < 0.01


def test_evaluation_has_lengths_from_one_second_to_ten() -> None:
    voices = generate_voices(procedural.EVALUATION, len(LENGTHS))

    seconds = [waveform.size / SAMPLING_RATE for waveform in voices]
    assert {1.0, 3.3, 10.0} < set(seconds)
    assert seconds[0] == 3.0  # the first sample is the one that is timed
    assert seconds.count(3.0) >= 3  # samples of one length, for a batch


def test_voices_have_the_spectrum_of_speech_and_pauses() -> None:
    voices = [generate_voice(np.random.default_rng(seed), seconds=3.0) for seed in range(12)]

    powers = [np.abs(np.fft.rfft(waveform)) ** 2 for waveform in voices]
    low = [float(power[: round(3.0 * 4000)].sum() / power.sum()) for power in powers]
    assert np.median(low) > 0.8, "speech has most of its power under 4 kHz"
    levels = [np.abs(w).reshape(-1, 800).max(axis=1) / np.abs(w).max() for w in voices]
    assert any((level < 0.02).any() for level in levels), "no pause in 12 voices"


@pytest.mark.parametrize("sampling_rate", [8000, 16_000, 44_100])
def test_a_synthetic_voice_and_its_file_have_the_same_feeds(sampling_rate: int) -> None:
    voice = generate_voices(procedural.GOLDEN, 1)[0]
    loaded = loaded_without_network(sampling_rate)

    from_array = VOICES.to_feeds(voice, loaded)["waveform"]
    from_file = VOICES.to_feeds(VOICES.read(VOICES.encode(voice)), loaded)["waveform"]

    assert from_array.shape == (1, 3 * sampling_rate)
    assert np.array_equal(from_file, from_array)


def test_a_file_that_is_no_sound_is_refused() -> None:
    with pytest.raises(DecodeError):
        VOICES.to_feeds(VOICES.read(b"no sound at all"), loaded_without_network(16_000))


@pytest.mark.parametrize("samples", [1600, 16_000, 52_800, 160_000])
@pytest.mark.parametrize("standardize", [True, False])
def test_waveform_formula_and_nodes_agree(
    tmp_path: Path, samples: int, *, standardize: bool
) -> None:
    numerics = WaveformInput(standardize=standardize)
    rng = np.random.default_rng(samples)
    waveform = rng.normal(0.3, 0.02, (2, samples)).astype(np.float32)  # quiet, with an offset
    path = tmp_path / "graph.onnx"
    onnx.save(numerics_alone(numerics), path)

    output = Session(path).run({"waveform": waveform})["probabilities"].astype(np.float32)

    (expected,) = numerics.apply(waveform)
    np.testing.assert_allclose(output, expected, atol=5e-5, rtol=0)
    if standardize:
        np.testing.assert_allclose(output.std(axis=1), 1, atol=2e-3)


def test_waveform_formula_equals_transformers() -> None:
    from convert.export.frameworks.hugging_face import import_transformers

    extractor = import_transformers().Wav2Vec2FeatureExtractor(do_normalize=True)
    waveform = generate_voices(procedural.SAMPLES, 1)[0]

    (standardized,) = WaveformInput(standardize=True).apply(waveform[np.newaxis])

    expected = extractor(waveform, sampling_rate=16_000, return_tensors="np").input_values
    np.testing.assert_allclose(standardized, expected, atol=2e-5, rtol=0)


def test_silence_stays_zero() -> None:
    (standardized,) = WaveformInput(standardize=True).apply(np.zeros((1, 1600), np.float32))

    assert not standardized.any()
    assert EPSILON > 0


def numerics_alone(numerics: WaveformInput) -> onnx.ModelProto:
    """Return a graph whose output is the network's input."""
    kind, shape = onnx.TensorProto.FLOAT, ["N", "S"]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"], "net/same")],
        "slipway",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", kind, shape)],
    )
    core = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    head = Probabilities(softmax=False)
    whole = attach(core, input=numerics, head=head, outputs=numerics.tensors)
    whole.graph.output[0].name = "probabilities"
    return whole
