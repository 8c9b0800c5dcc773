"""Sounds, clips and texts, encoded and decoded, prepared for a model and refused."""

from pathlib import Path

import numpy as np
import pytest

import runtime
from runtime.artifact.manifest import Resample
from runtime.engine.session import SessionOptions
from runtime.errors import DecodeError, InputError, TooLargeError
from runtime.media.video.sample import VideoLimits
from runtime.predict.prepare import Bounds
from runtime.results import Classification, Embedding
from tests.runtime.support.recordings import shades, sound, tone, video
from tests.support.artifacts import CLASSIFIER, GAIT, TEXT, VOICE, edit_manifest, write_artifact

ONE_THREAD = SessionOptions(threads=1)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, runtime.Model]:
    root = tmp_path_factory.mktemp("models")
    graphs = (CLASSIFIER, VOICE, GAIT, TEXT)
    return {g: runtime.load(write_artifact(root, g), options=ONE_THREAD) for g in graphs}


def expected_probabilities(value: float) -> np.ndarray:
    """Return the probabilities of the tiny models if their input sums to this value."""
    weights = np.exp(-8 * np.abs(value - np.array([0, 0.5, 1])))
    return np.asarray(weights / weights.sum())


def classes(result: object) -> np.ndarray:
    assert isinstance(result, Classification)
    return result.probabilities


def test_a_sound_is_resampled_to_the_rate_of_the_spec(models: dict[str, runtime.Model]) -> None:
    model = models[VOICE]
    assert model.spec.preprocess == (Resample(16_000),)
    data = sound(tone(rate=44_100, level=0.8), rate=44_100)
    expected = expected_probabilities(0.8 * 2 / np.pi)  # the mean of the absolute value of a sine
    np.testing.assert_allclose(classes(model.predict(data)), expected, atol=1e-3)
    np.testing.assert_allclose(classes(model.predict(tone(level=0.8))), expected, atol=1e-3)


def test_a_sound_may_have_any_length(models: dict[str, runtime.Model]) -> None:
    for seconds in (0.1, 1.0, 3.3, 30.0):
        result = models[VOICE].predict(sound(tone(seconds=seconds), subtype="PCM_16"))
        expected = expected_probabilities(1 / np.pi)
        np.testing.assert_allclose(classes(result), expected, atol=0.02)


@pytest.mark.parametrize(
    "media",
    [np.zeros((1, 16_000), np.float32), np.zeros(16_000), np.zeros(16_000, np.int16), "text"],
)
def test_waveforms_of_another_shape_or_dtype_are_refused(
    models: dict[str, runtime.Model], media: np.ndarray | str
) -> None:
    with pytest.raises(InputError, match=r"waveform is .*; allowed: float32 \(S,\) at 16000 Hz"):
        models[VOICE].predict(media)


def test_a_decoded_waveform_is_checked_like_a_file(models: dict[str, runtime.Model]) -> None:
    with pytest.raises(InputError, match="not finite"):
        models[VOICE].predict(np.full(16_000, np.nan, np.float32))
    with pytest.raises(InputError, match=r"0\.050 s long"):
        models[VOICE].predict(np.zeros(800, np.float32))


def test_a_clip_is_classified_by_its_sampled_frames(
    models: dict[str, runtime.Model], tmp_path: Path
) -> None:
    clip = shades(
        [0] * 9 + [255] * 3 + [0] * 18
    )  # tiny_gait sees the second of four frames: number 9
    bright = classes(models[GAIT].predict(clip))
    np.testing.assert_allclose(bright, expected_probabilities(1.0), atol=1e-5)
    data = video(clip, tmp_path, kind="avi", codec="MJPG")
    np.testing.assert_allclose(classes(models[GAIT].predict(data)), bright, atol=0.01)


def test_the_condition_is_an_input_of_the_graph(models: dict[str, runtime.Model]) -> None:
    clip = shades([0] * 4)
    answers = [
        classes(models[GAIT].predict(clip, condition=name)) for name in (None, "", "CVA", "stroke")
    ]
    np.testing.assert_array_equal(answers[0], answers[1])
    np.testing.assert_array_equal(answers[2], answers[3])
    np.testing.assert_allclose(answers[0], expected_probabilities(0.0), atol=1e-5)
    np.testing.assert_allclose(answers[2], expected_probabilities(1.0), atol=1e-5)


def test_an_unknown_condition_is_refused_before_decoding(
    models: dict[str, runtime.Model],
) -> None:
    with pytest.raises(InputError, match="condition 'gout' is unknown; known: Ischaemic stroke"):
        models[GAIT].predict(b"no video", condition="gout")


def test_a_condition_is_refused_for_other_tasks(models: dict[str, runtime.Model]) -> None:
    with pytest.raises(InputError, match="face_emotion_xception takes no condition"):
        models[CLASSIFIER].predict(np.zeros((8, 8, 3), np.uint8), condition="stroke")


def test_a_version_without_a_table_knows_no_condition(tmp_path: Path) -> None:
    directory = write_artifact(tmp_path, GAIT)
    edit_manifest(directory, {"assets": {}})
    model = runtime.load(directory, options=ONE_THREAD)
    assert classes(model.predict(shades([0] * 4))).argmax() == 0
    with pytest.raises(InputError, match="gait_student knows no condition by name"):
        model.predict(shades([0] * 4), condition="stroke")


def test_a_text_and_its_bytes_have_the_same_embedding(models: dict[str, runtime.Model]) -> None:
    first, second = (models[TEXT].predict(text) for text in ("Slow walk", b"slow  WALK"))
    assert isinstance(first, Embedding)
    assert isinstance(second, Embedding)
    np.testing.assert_array_equal(first.values, second.values)
    # [CLS] slow walk [SEP] are 2, 5, 7, 3
    expected = np.array([4, 0.17]) / np.hypot(4, 0.17)
    np.testing.assert_allclose(first.values, expected, atol=1e-6)


@pytest.mark.parametrize("text", ["", " \n", b""])
def test_an_empty_text_is_refused(models: dict[str, runtime.Model], text: str | bytes) -> None:
    with pytest.raises(InputError, match="the text is empty"):
        models[TEXT].predict(text)


def test_bytes_that_are_not_utf8_are_refused(models: dict[str, runtime.Model]) -> None:
    with pytest.raises(DecodeError, match="the text is not UTF-8: invalid start byte at 1"):
        models[TEXT].predict(b"a\xff")


@pytest.mark.parametrize("graph", [CLASSIFIER, GAIT, TEXT])
def test_media_of_another_kind_are_refused(models: dict[str, runtime.Model], graph: str) -> None:
    with pytest.raises(InputError, match=r"float32 \(16000,\); allowed: "):
        models[graph].predict(tone())


def test_media_over_the_bounds_are_refused(
    models: dict[str, runtime.Model], tmp_path: Path
) -> None:
    bounds = Bounds(audio_s=0.5)
    with pytest.raises(TooLargeError, match=r"is 1\.0 s long; allowed: 0\.5 s"):
        models[VOICE].predict(sound(tone()), bounds=bounds)
    with pytest.raises(TooLargeError, match="allowed: 2 s"):
        models[GAIT].predict(
            video(shades(range(75)), tmp_path),
            bounds=Bounds(video=VideoLimits(seconds=2.0)),
        )
