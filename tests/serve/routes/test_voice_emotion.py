"""POST /v1/voice-emotion, over HTTP."""

from collections.abc import Iterator

import httpx
import numpy as np
import pytest

from runtime.media.audio.channels import CANCELLED
from runtime.results import SILENT
from serve.settings import Settings
from tests.runtime.support.recordings import sound, tone
from tests.serve.support.requests import FORMS, post
from tests.serve.support.server import running
from tests.support.artifacts import VOICE, write_artifact

ROUTE = "/v1/voice-emotion"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    root = tmp_path_factory.mktemp("artifacts")
    write_artifact(root, VOICE)
    with running(Settings(artifacts=root)) as client:
        yield client


@pytest.fixture(scope="module")
def talk() -> bytes:
    return sound(np.concatenate([tone(seconds=30, level=0.9), tone(seconds=30, level=0.05)]))


@pytest.mark.parametrize("form", FORMS)
def test_windows_in_every_form(client: httpx.Client, talk: bytes, form: str) -> None:
    options = {"window_s": "20", "overlap_s": "5"}
    response = post(client, ROUTE, form, {"audio": talk}, **options)
    assert response.status_code == 200, response.text
    result = response.json()["result"]
    spans = [(w["start_s"], w["end_s"]) for w in result["windows"]]
    assert spans == [(0, 20), (15, 35), (30, 50), (45, 60)]
    labels = [w["label"] for w in result["windows"]]
    assert labels == ["calm", "calm", "quiet", "quiet"]
    weights = np.array([20, 20, 20, 15])
    for label, overall in result["probabilities"].items():
        window_shares = [w["probabilities"][label] for w in result["windows"]]
        assert overall == pytest.approx(float((weights * window_shares).sum() / 75), abs=1e-6)
    assert result["label"] == max(result["probabilities"], key=result["probabilities"].get)
    assert result["confidence"] == result["probabilities"][result["label"]]
    assert result["duration_s"] == 60
    assert not result["silent"]


def test_silence_has_no_emotion_and_a_warning(client: httpx.Client) -> None:
    answer = client.post(ROUTE, content=sound(np.zeros(48_000, np.float32))).json()
    assert answer["result"]["label"] is None
    assert answer["result"]["silent"]
    assert answer["warnings"] == ["the sound is silent: it gets no emotion"]


def test_the_model_route_warns_of_silence(client: httpx.Client) -> None:
    path, silence = "/v1/models/voice_emotion_wav2vec2", sound(np.zeros(48_000, np.float32))
    response = client.post(path, content=silence)
    assert response.json()["warnings"] == [SILENT]
    assert response.headers["x-warnings"] == SILENT
    voice = client.post(path, content=sound(tone()))
    assert voice.json()["warnings"] == []
    assert "x-warnings" not in voice.headers


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window_s": "long"}, "window_s is 'long'; allowed: a number of seconds"),
        ({"overlap_s": "nan"}, "overlap_s is 'nan'; allowed: a number of seconds"),
        ({"window_s": "60"}, "window_s is 60; allowed: 1 to 30"),
        ({"overlap_s": "6"}, "overlap_s is 6; allowed: 0 to 1.5, half of window_s"),
        ({"hop_s": "6"}, "field 'hop_s' is unknown; allowed: audio, window_s, overlap_s"),
    ],
)
def test_invalid_options_are_refused(
    client: httpx.Client, options: dict[str, str], message: str
) -> None:
    response = client.post(ROUTE, content=sound(tone()), params=options)
    assert response.status_code == 400
    assert message in response.json()["error"]


def test_warnings_about_the_file_are_in_the_answer(client: httpx.Client) -> None:
    stereo = np.stack([tone(), -tone()], axis=1)
    for route in (ROUTE, "/v1/models/voice_emotion_wav2vec2"):
        response = client.post(route, content=sound(stereo))
        assert response.json()["warnings"] == [CANCELLED]
        assert response.headers["x-warnings"] == CANCELLED
    flac = sound(tone(), kind="FLAC", subtype="PCM_16")  # decoded in a worker process
    response = client.post(ROUTE, content=flac + flac)
    warning = "the header of the sound says 1.0 s, the file holds 2.0 s: all of it was used"
    assert response.json()["warnings"] == [warning]
    assert response.json()["result"]["duration_s"] == 2.0
