"""POST /v1/models/{model} and the task routes of sounds, clips and texts, over HTTP."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from serve.repository.provenance import SYNTHETIC_WARNING
from serve.settings import Settings
from tests.runtime.support.recordings import shades, sound, tone, video
from tests.serve.conftest import Serve
from tests.serve.support.requests import FORMS, post
from tests.serve.support.server import running
from tests.support.artifacts import GAIT, TEXT, VOICE, write_artifact
from tests.support.images import solid

VOICE_ROUTE, GAIT_ROUTE, OLD_GAIT_ROUTE = "/v1/voice-emotion", "/v1/gait", "/predict"
VOICE_MODEL, GAIT_MODEL, TEXT_MODEL = (
    "/v1/models/voice_emotion_wav2vec2",
    "/v1/models/gait_student",
    "/v1/models/clinical_text_minilm",
)
AV1 = (Path(__file__).parents[2] / "data" / "clips" / "av1.webm").read_bytes()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("artifacts")
    write_artifact(root, VOICE, batch_invariant=False)
    write_artifact(root, GAIT, origin="synthetic")
    write_artifact(root, TEXT)
    return root


@pytest.fixture(scope="module")
def client(root: Path) -> Iterator[httpx.Client]:
    with running(Settings(artifacts=root)) as client:
        yield client


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return video(shades([0] * 30), tmp_path_factory.mktemp("clip"))


def silence(seconds: int) -> bytes:
    return sound(np.zeros(16_000 * seconds, np.float32), kind="FLAC", subtype="PCM_16")


def softmax(value: float) -> dict[str, float]:
    weights = np.exp(-8 * np.abs(value - np.array([0, 0.5, 1])))
    return dict(zip(("dark", "grey", "bright"), (weights / weights.sum()).tolist(), strict=True))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("path", [VOICE_ROUTE, VOICE_MODEL])
def test_sound_is_answered(client: httpx.Client, path: str, form: str) -> None:
    data = sound(tone(level=0.8, rate=44_100), rate=44_100, kind="FLAC", subtype="PCM_16")
    response = post(client, path, form, {"audio": data})
    assert response.status_code == 200, response.text
    answer = response.json()
    assert (answer["model"], answer["weights"], answer["warnings"]) == (
        "voice_emotion_wav2vec2", "pretrained", [],
    )  # fmt: skip
    expected = softmax(0.8 * 2 / np.pi)
    assert answer["result"]["label"] == "calm"
    assert answer["result"]["probabilities"] == pytest.approx(
        dict(zip(("quiet", "calm", "loud"), expected.values(), strict=True)), abs=1e-3
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("path", [GAIT_ROUTE, OLD_GAIT_ROUTE, GAIT_MODEL])
def test_clip_is_answered_with_its_condition_and_its_warning(
    client: httpx.Client, clip: bytes, path: str, form: str
) -> None:
    response = post(client, path, form, {"video": clip}, condition="cva")
    assert response.status_code == 200, response.text
    assert response.headers["x-model-weights"] == "synthetic"
    assert response.headers["x-warnings"] == SYNTHETIC_WARNING
    answer = response.json()
    assert answer["weights"] == "synthetic"
    assert answer["warnings"] == [
        "weights are synthetic: trained on synthetic data, not a medical device"
    ]
    assert answer["result"]["condition"] == "Ischaemic stroke"
    assert answer["result"]["probabilities"] == pytest.approx(softmax(1.0), abs=0.02)


def test_conditions_change_the_answer_and_may_be_left_out(
    client: httpx.Client, clip: bytes
) -> None:
    none = post(client, GAIT_ROUTE, "raw", {"video": clip}).json()["result"]
    empty = post(client, GAIT_ROUTE, "raw", {"video": clip}, clinical_condition="").json()["result"]
    assert none == empty
    assert none["condition"] is None
    assert none["label"] == "dark"
    stroke = post(client, GAIT_ROUTE, "raw", {"video": clip}, clinical_condition="Stroke").json()
    assert stroke["result"]["label"] == "bright"


def test_an_unknown_condition_is_refused_with_the_known_ones(
    client: httpx.Client, clip: bytes
) -> None:
    response = post(client, GAIT_ROUTE, "multipart", {"video": clip}, condition="gout")
    assert response.status_code == 400
    assert response.json()["error"] == (
        "condition 'gout' is unknown; known: Ischaemic stroke, Parkinson's disease"
    )
    both = {"condition": "stroke", "clinical_condition": "gout"}
    response = post(client, GAIT_ROUTE, "multipart", {"video": clip}, **both)
    assert (
        response.json()["error"] == "condition and clinical_condition differ; allowed: one of them"
    )


def test_the_description_lists_the_conditions(client: httpx.Client) -> None:
    card = client.get(GAIT_MODEL).json()
    assert card["conditions"] == ["Ischaemic stroke", "Parkinson's disease"]
    assert card["preprocess"][0] == {"op": "sample_frames", "count": 4}
    assert "conditions" not in client.get(TEXT_MODEL).json()


def test_text_is_embedded_in_each_form(client: httpx.Client) -> None:
    text = 'Slow, slowly: "walking"' + " walk" * 300 + ", " * 300
    answers = [
        client.post(TEXT_MODEL, files={"text": text.encode()}),
        client.post(TEXT_MODEL, files={"text": (None, text)}),
        client.post(TEXT_MODEL, json={"text": text}),
        client.post(TEXT_MODEL, content=text, headers={"content-type": "text/plain"}),
    ]
    results = [answer.json()["result"] for answer in answers]
    assert results[0]["dimensions"] == 2
    assert np.linalg.norm(results[0]["embedding"]) == pytest.approx(1, abs=1e-5)
    assert all(result == results[0] for result in results)


@pytest.mark.parametrize(
    ("path", "content", "status", "message"),
    [
        (VOICE_ROUTE, b"", 400, "the request body is empty; needed: 1 sound (audio)"),
        (VOICE_ROUTE, solid(0, 0, 0), 400, "the sound is PNG; allowed: WAV"),
        (VOICE_ROUTE, sound(tone(seconds=0.01)), 400, "the sound is 0.010 s long; allowed"),
        (VOICE_MODEL, sound(tone(seconds=31)), 413, "the sound is 31.0 s long; allowed: 30 s"),
        (VOICE_ROUTE, silence(301), 413, "the sound is 301.0 s long; allowed: 300 s"),
        (GAIT_ROUTE, sound(tone()), 400, "the video is WAV audio; allowed: MP4"),
        (GAIT_ROUTE, AV1, 400, "the video, coded as AV1, holds no frame that can be decoded"),
        (TEXT_MODEL, b"\xff\xfe", 400, "the text is not UTF-8"),
        (TEXT_MODEL, b" ", 400, "the text is empty"),
        (TEXT_MODEL, b"a" * 100_001, 413, "the text has 100001 characters; allowed: 100000"),
        (TEXT_MODEL, b"a" * 2**20 + b"a", 413, "allowed for text: 1048576"),
    ],
)
def test_invalid_media_are_refused(
    client: httpx.Client, path: str, content: bytes, status: int, message: str
) -> None:
    response = client.post(path, content=content)
    assert response.status_code == status, response.text
    assert message in response.json()["error"]


def test_limits_of_the_settings(serve: Serve, root: Path, tmp_path: Path) -> None:
    client = serve(Settings(artifacts=root, max_audio_s=1, max_video_s=1, max_pixels=48 * 64))
    assert client.post(VOICE_ROUTE, content=sound(tone(seconds=1))).status_code == 200
    assert client.post(VOICE_ROUTE, content=sound(tone(seconds=1.1))).status_code == 413
    fast = video(shades([0] * 60), tmp_path, fps=60)
    assert client.post(GAIT_ROUTE, content=fast).status_code == 200
    slow = client.post(GAIT_ROUTE, content=video(shades([0] * 26), tmp_path))
    assert slow.json() == {"error": "the video is 1.1 s long; allowed: 1 s"}
    large = client.post(GAIT_ROUTE, content=video(shades([0], width=80), tmp_path))
    assert "frames of 80 x 48 px; allowed: 3072 px" in large.json()["error"]
    waveform = {"name": "waveform", "datatype": "FP32", "shape": [1, 16_001]}
    body = {"inputs": [{**waveform, "data": [0.0] * 16_001}]}
    long = client.post("/v2/models/voice_emotion_wav2vec2/infer", json=body)
    assert long.status_code == 413
    assert "'waveform' has 16001 samples; allowed: 16000, 1 s" in long.json()["error"]


@pytest.mark.parametrize(
    ("path", "model"),
    [(VOICE_ROUTE, "voices"), (GAIT_ROUTE, "gaits"), (OLD_GAIT_ROUTE, "gaits")],
)
def test_an_absent_model_is_not_found(serve: Serve, root: Path, path: str, model: str) -> None:
    settings = Settings(artifacts=root, voice_emotion_model="voices", gait_model="gaits")
    response = serve(settings).post(path, content=b"x")
    assert response.status_code == 404
    assert f"model '{model}' is unknown; known: clinical_text_minilm" in response.json()["error"]


def infer(
    client: httpx.Client, model: str, feeds: Mapping[str, Any], *, binary: bool
) -> httpx.Response:
    datatypes = {"float32": "FP32", "int64": "INT64", "uint8": "UINT8"}
    inputs, tail = [], b""
    for name, array in feeds.items():
        entry = {"name": name, "shape": array.shape, "datatype": datatypes[array.dtype.name]}
        binary_size = {"parameters": {"binary_data_size": array.nbytes}}
        inputs.append({**entry, **(binary_size if binary else {"data": array.tolist()})})
        tail += array.tobytes() if binary else b""
    head = json.dumps({"inputs": inputs}).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))} if binary else {}
    return client.post(f"/v2/models/{model}/infer", content=head + tail, headers=headers)


def first_output(response: httpx.Response) -> np.ndarray:
    assert response.status_code == 200, response.text
    (output,) = response.json()["outputs"]
    return np.array(output["data"]).reshape(output["shape"])


@pytest.mark.parametrize("binary", [True, False])
def test_tensors_of_every_rank_and_dtype(client: httpx.Client, binary: bool) -> None:
    generator = np.random.default_rng(0)
    waves = generator.uniform(-1, 1, (3, 2345)).astype(np.float32)
    feeds = {"waveform": waves}
    outputs = first_output(infer(client, "voice_emotion_wav2vec2", feeds, binary=binary))
    means = np.abs(waves).mean(axis=1)
    np.testing.assert_allclose(outputs, [list(softmax(m).values()) for m in means], atol=1e-5)

    frames = generator.integers(0, 256, (2, 4, 8, 8, 3)).astype(np.uint8)
    condition = np.zeros((2, 6), np.float32)
    condition[1, 0] = 0.3
    two = {"frames": frames, "condition": condition}
    outputs = first_output(infer(client, "gait_student", two, binary=binary))
    means = frames[:, 1].mean(axis=(1, 2, 3)) / 255 + condition[:, 0]
    np.testing.assert_allclose(outputs, [list(softmax(m).values()) for m in means], atol=1e-5)

    ids = np.array([[2, 5, 3, 0], [2, 5, 7, 3]], np.int64)
    text = {"input_ids": ids, "attention_mask": (ids > 0).astype(np.int64)}
    outputs = first_output(infer(client, "clinical_text_minilm", text, binary=binary))
    expected = np.array([[3, 0.10], [4, 0.17]])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(outputs, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("model", "feeds", "message"),
    [
        (
            "clinical_text_minilm",
            {"input_ids": np.ones((2, 3), np.int64), "attention_mask": np.ones((2, 4), np.int64)},
            "size 4 on axis L; allowed: 3",
        ),
        (
            "clinical_text_minilm",
            {"input_ids": np.ones((1, 9), np.int64), "attention_mask": np.ones((1, 9), np.int64)},
            "'input_ids' has 9 tokens; allowed: 8",
        ),
        (
            "clinical_text_minilm",
            {"input_ids": np.full((1, 3), 11), "attention_mask": np.ones((1, 3), np.int64)},
            "'input_ids' has 11 to 11; allowed: 0 to 10",
        ),
        (
            "voice_emotion_wav2vec2",
            {"waveform": np.zeros((1, 1599), np.float32)},
            "'waveform' has 1599 samples; allowed: at least 1600, 0.1 s",
        ),
        (
            "gait_student",
            {
                "frames": np.zeros((2, 4, 8, 8, 3), np.uint8),
                "condition": np.zeros((1, 6), np.float32),
            },
            "size 1 on axis N; allowed: 2",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    client: httpx.Client, model: str, feeds: Mapping[str, Any], message: str
) -> None:
    response = infer(client, model, feeds, binary=True)
    assert response.status_code == 400
    assert message in response.json()["error"]
