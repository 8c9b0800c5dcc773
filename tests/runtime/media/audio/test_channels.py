"""Channels that cancel each other: the loudest one is used, with a warning."""

import numpy as np
import pytest

from runtime.media.audio.channels import CANCELLED, Mixer
from runtime.media.audio.decode import concatenate, stream_audio
from tests.runtime.support.recordings import sound, tone
from tests.support.shared_data import CASES, needs_data

RATE = 16_000


def mixed(*channels: np.ndarray) -> tuple[np.ndarray, list[str]]:
    warnings: list[str] = []
    mixer = Mixer(warnings.append)
    return mixer.mix(np.stack(channels, axis=1), RATE), warnings


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.1, RATE).astype(np.float32)


@pytest.mark.parametrize("gain", [1.0, 0.8, 0.5])
def test_opposite_phase_is_judged_by_the_louder_channel(gain: float) -> None:
    loud, soft = tone(level=0.6), (-gain * tone(level=0.6)).astype(np.float32)
    for channels in ((loud, soft), (soft, loud)):
        waveform, warnings = mixed(*channels)
        assert np.abs(waveform).max() == pytest.approx(0.6, abs=0.01)
        assert warnings == [CANCELLED]


def test_opposite_phase_under_noise_is_noticed() -> None:
    voice = tone(level=0.6)
    waveform, warnings = mixed(voice + noise(0), noise(1) - voice)
    assert warnings == [CANCELLED]
    assert np.abs(waveform).max() > 0.6


@pytest.mark.parametrize(
    "channels",
    [
        pytest.param((tone(), tone(level=0.1)), id="in-phase"),
        pytest.param((tone(), np.zeros(RATE, np.float32)), id="one-silent"),
        pytest.param((tone(), *[np.zeros(RATE, np.float32)] * 7), id="one-of-eight"),
        pytest.param((noise(0), noise(1)), id="unlike"),
        pytest.param((tone(), tone(hertz=660)), id="two-tones"),
        pytest.param((np.zeros(RATE, np.float32),) * 2, id="silence"),
    ],
)
def test_other_channels_are_averaged(channels: tuple[np.ndarray, ...]) -> None:
    waveform, warnings = mixed(*channels)
    np.testing.assert_array_equal(waveform, np.stack(channels, 1).mean(1, dtype=np.float32))
    assert warnings == []


def test_the_channel_stays_the_same_over_the_blocks_of_a_recording() -> None:
    seconds = 13  # three blocks
    left = tone(seconds=seconds) * np.linspace(1.0, 0.9, RATE * seconds, dtype=np.float32)
    right = -tone(seconds=seconds) * np.linspace(0.9, 1.0, RATE * seconds, dtype=np.float32)
    warnings: list[str] = []
    data = sound(np.stack([left, right], axis=1))
    blocks = stream_audio(data, sampling_rate=RATE, max_seconds=60, warn=warnings.append)
    np.testing.assert_allclose(concatenate(blocks), left, atol=1e-6)
    assert warnings == [CANCELLED]


def test_a_part_in_opposite_phase_does_not_vanish() -> None:
    left = tone(seconds=4)
    right = left.copy()
    right[RATE : 2 * RATE] *= -1
    waveform, warnings = mixed(left, right)
    np.testing.assert_allclose(waveform, left, atol=1e-7)
    assert warnings == [CANCELLED]


@needs_data
def test_the_case_is_not_silent() -> None:
    warnings: list[str] = []
    data = (CASES / "wav-antiphase.wav").read_bytes()
    blocks = stream_audio(data, sampling_rate=RATE, max_seconds=60, warn=warnings.append)
    assert np.abs(concatenate(blocks)).max() == pytest.approx(0.6, abs=0.05)
    assert warnings == [CANCELLED]
