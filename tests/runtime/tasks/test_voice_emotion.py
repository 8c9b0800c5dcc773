"""The emotion of recordings: windows, silence, and refused input."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime import Model, load
from runtime.errors import InputError, TooLargeError
from runtime.media.isolation.pool import IsolatedDecoders
from runtime.predict.prepare import Bounds
from runtime.results import Classification
from runtime.tasks.voice_emotion import Options, VoiceEmotion, voice_emotion
from tests.runtime.support.processes import workers
from tests.runtime.support.recordings import sound, tone
from tests.support.artifacts import CLASSIFIER, VOICE, write_artifact

RATE = 16_000


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return load(write_artifact(tmp_path_factory.mktemp("artifacts"), VOICE))


def expected_probabilities(level: float) -> np.ndarray:
    """Return the probabilities of tiny_voice for a sine of this level."""
    weights = np.exp(-8 * np.abs(2 / np.pi * level - np.array([0, 0.5, 1])))
    return np.asarray(weights / weights.sum())


def test_a_short_recording_is_one_window_with_the_answer_of_the_model(model: Model) -> None:
    data = sound(tone(seconds=3), subtype="PCM_16")
    result: dict[str, Any] = dict(voice_emotion(model, data).to_json())
    assert [(w["start_s"], w["end_s"]) for w in result["windows"]] == [(0, 3)]
    alone = model.predict(data).to_json()
    assert {name: result[name] for name in alone} == alone
    assert not result["silent"]
    assert result["duration_s"] == 3


def test_the_overall_emotion_is_the_mean_of_the_windows(model: Model) -> None:
    quiet, loud = tone(seconds=8, rate=44_100, level=0.05), tone(seconds=8, rate=44_100, level=0.9)
    result = voice_emotion(
        model, sound(np.concatenate([quiet, loud, loud]), rate=44_100), options=Options(8, 0)
    )
    assert [(w.start_s, w.end_s) for w in result.windows] == [(0, 8), (8, 16), (16, 24)]
    for window, level in zip(result.windows, (0.05, 0.9, 0.9), strict=True):
        assert window.emotion is not None
        np.testing.assert_allclose(
            window.emotion.probabilities, expected_probabilities(level), atol=2e-3
        )
    assert result.overall is not None
    expected = (expected_probabilities(0.05) + 2 * expected_probabilities(0.9)) / 3
    np.testing.assert_allclose(result.overall.probabilities, expected, atol=2e-3)


def test_the_last_window_is_weighted_by_its_length(model: Model) -> None:
    waveform = np.concatenate([tone(seconds=10, level=0.05), tone(seconds=5, level=0.9)])
    result = voice_emotion(model, waveform, options=Options(10, 0))
    assert [w.duration_s for w in result.windows] == [10, 5]
    assert result.overall is not None
    expected = (2 * expected_probabilities(0.05) + expected_probabilities(0.9)) / 3
    np.testing.assert_allclose(result.overall.probabilities, expected, atol=1e-3)


@pytest.mark.parametrize("level", [0.0, 1e-4])
def test_silence_has_no_emotion(model: Model, level: float) -> None:
    generator = np.random.default_rng(0)
    noise = 0.2 + level * generator.uniform(-1, 1, 3 * RATE)
    result = voice_emotion(model, noise.astype(np.float32)).to_json()
    assert result["silent"]
    assert (result["label"], result["confidence"]) == (None, None)
    assert result["probabilities"] == {}
    assert result["windows"][0]["silent"]


@pytest.mark.parametrize(("level", "silent"), [(0.0, True), (0.0014, True), (0.0015, False)])
def test_a_model_alone_reports_silence(model: Model, level: float, *, silent: bool) -> None:
    for media in (tone(level=level), sound(tone(level=level))):  # the limit is 0.001 * sqrt(2)
        result = model.predict(media)
        assert isinstance(result, Classification)
        assert result.silent is silent


def test_silent_windows_have_no_weight(model: Model) -> None:
    waveform = np.concatenate([np.zeros(20 * RATE, np.float32), tone(seconds=10, level=0.9)])
    result = voice_emotion(model, waveform, options=Options(10, 0))
    assert [w.emotion is None for w in result.windows] == [True, True, False]
    assert result.overall is not None
    np.testing.assert_allclose(result.overall.probabilities, expected_probabilities(0.9), atol=1e-3)


def test_one_word_in_a_long_pause_is_not_silence(model: Model) -> None:
    waveform = np.zeros(9 * RATE, np.float32)
    waveform[4 * RATE : 4 * RATE + 3200] = tone(seconds=0.2, level=0.01)
    assert voice_emotion(model, waveform).overall is not None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (Options(window_s=0.5, overlap_s=0), "window_s is 0.5; allowed: 1 to 30"),
        (Options(window_s=31), "window_s is 31; allowed: 1 to 30"),
        (Options(window_s=4, overlap_s=2.1), "overlap_s is 2.1; allowed: 0 to 2, half of window_s"),
        (Options(overlap_s=-1), "overlap_s is -1; allowed: 0 to 1.5"),
    ],
)
def test_windows_out_of_range_are_refused(model: Model, options: Options, says: str) -> None:
    with pytest.raises(InputError, match=says):
        voice_emotion(model, tone(), options=options)


@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.0999])
def test_a_sound_that_is_too_short_is_refused(model: Model, seconds: float) -> None:
    for media in (tone(seconds=seconds), sound(tone(seconds=seconds))):
        with pytest.raises(InputError, match=r"s long; allowed: at least 0\.1 s"):
            voice_emotion(model, media)


@pytest.mark.parametrize("rate", [8000, 16_000, 44_100])
def test_a_tenth_of_a_second_is_enough(model: Model, rate: int) -> None:
    result = voice_emotion(model, sound(tone(seconds=0.1, rate=rate), rate=rate))
    assert result.duration_s == pytest.approx(0.1, abs=1e-4)


def test_an_error_in_a_window_stops_the_decoder(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(samples: np.ndarray, rate: int) -> bool:
        raise ArithmeticError

    monkeypatch.setattr("runtime.tasks.voice_emotion.is_silent", fail)
    data = sound(tone(seconds=60), kind="FLAC", subtype="PCM_16")
    before = workers()
    with IsolatedDecoders() as decoders:
        with pytest.raises(ArithmeticError) as caught:
            voice_emotion(model, data, bounds=Bounds(decoders=decoders))
        assert caught.tb is not None  # with all its frames
        assert workers() == before


def test_a_recording_that_is_too_long_is_refused(model: Model) -> None:
    with pytest.raises(TooLargeError, match=r"is 2\.0 s long; allowed: 1 s"):
        voice_emotion(model, sound(tone(seconds=2)), bounds=Bounds(recording_s=1))


def test_waveforms_of_another_dtype_are_refused(model: Model) -> None:
    with pytest.raises(InputError, match=r"waveform is float64 \(2, 8000\); allowed: float32"):
        voice_emotion(model, np.zeros((2, 8000)))  # type: ignore[arg-type]  # a wrong dtype on purpose


def test_a_model_for_another_task_is_refused(tmp_path: Path) -> None:
    other = load(write_artifact(tmp_path, CLASSIFIER))
    with pytest.raises(InputError, match="for image-classification; allowed: audio-classification"):
        voice_emotion(other, tone())


def test_an_hour_is_split_into_windows_while_it_is_read(model: Model) -> None:
    hour = sound(np.zeros(3600 * 8000, np.float32), rate=8000, kind="FLAC", subtype="PCM_16")
    result = voice_emotion(model, hour)
    assert isinstance(result, VoiceEmotion)
    assert result.duration_s == 3600
    assert len(result.windows) == 1440
