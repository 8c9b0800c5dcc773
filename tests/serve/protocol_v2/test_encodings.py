"""Encoded files and texts in place of tensors."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from runtime import load
from serve.protocol_v2.bytes_tensors import pack_elements
from serve.settings import Settings
from tests.runtime.support.recordings import sound, tone
from tests.serve.support.server import running
from tests.support.artifacts import CLASSIFIER, GAIT, TENSORS, TEXT, VOICE, write_artifact
from tests.support.images import png

LENGTH = "Inference-Header-Content-Length"
FACE, WORDS, VOICES = "face_emotion_xception", "clinical_text_minilm", "voice_emotion_wav2vec2"
PICTURE = png(np.full((20, 30, 3), 200, np.uint8))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artifacts")
    for graph in (CLASSIFIER, GAIT, TENSORS, TEXT, VOICE):
        write_artifact(folder, graph)
    return folder


@pytest.fixture(scope="module")
def client(root: Path) -> Iterator[httpx.Client]:
    with running(Settings(artifacts=root, max_files=3)) as client:
        yield client


def infer(client: httpx.Client, model: str, **entry: Any) -> httpx.Response:
    """Send one input of BYTES in JSON."""
    content = {"inputs": [{"datatype": "BYTES", **entry}]}
    return client.post(f"/v2/models/{model}/infer", json=content)


def send(client: httpx.Client, model: str, name: str, *elements: bytes) -> httpx.Response:
    """Send one input of BYTES after the JSON."""
    data = pack_elements(elements)
    entry = {"name": name, "datatype": "BYTES", "shape": [len(elements)]}
    head = json.dumps({"inputs": [{**entry, "parameters": {"binary_data_size": len(data)}}]})
    headers = {LENGTH: str(len(head))}
    return client.post(f"/v2/models/{model}/infer", content=head.encode() + data, headers=headers)


def outputs(response: httpx.Response) -> list[float]:
    assert response.status_code == 200, response.text
    values: list[float] = response.json()["outputs"][0]["data"]
    return values


def expected(root: Path, model_id: str, *media: Any) -> list[float]:
    model = load(root / model_id)
    (name,) = (output.name for output in model.spec.outputs)
    rows = [model.run(model.prepare(medium).feeds)[name] for medium in media]
    return [float(value) for value in np.concatenate(rows).ravel()]


def test_files_in_json_binary_and_raw_get_one_answer(client: httpx.Client, root: Path) -> None:
    answer = pytest.approx(expected(root, FACE, PICTURE), rel=1e-6)
    text = base64.b64encode(PICTURE).decode()
    assert outputs(infer(client, FACE, name="image", shape=[1], data=[text])) == answer
    assert outputs(infer(client, FACE, name="image", shape=[1, 1], data=[[text]])) == answer
    assert outputs(send(client, FACE, "image", PICTURE)) == answer
    raw = client.post(f"/v2/models/{FACE}/infer", content=PICTURE, headers={LENGTH: "0"})
    data = raw.content[int(raw.headers[LENGTH]) :]
    assert np.frombuffer(data, "<f4").tolist() == answer


def test_texts_need_no_tokens(client: httpx.Client, root: Path) -> None:
    texts = ["walks slowly", "é"]
    answer = pytest.approx(expected(root, WORDS, *texts), rel=1e-6)
    assert outputs(infer(client, WORDS, name="text", shape=[2], data=texts)) == answer
    assert outputs(send(client, WORDS, "text", *(text.encode() for text in texts))) == answer
    raw = client.post(f"/v2/models/{WORDS}/infer", content=b"walks", headers={LENGTH: "0"})
    assert raw.status_code == 200


def test_sounds_are_decoded(client: httpx.Client, root: Path) -> None:
    recording = sound(tone(seconds=1))
    answer = pytest.approx(expected(root, VOICES, recording), abs=1e-5)
    assert outputs(send(client, VOICES, "waveform", recording)) == answer
    raw = client.post(f"/v2/models/{VOICES}/infer", content=recording, headers={LENGTH: "0"})
    data = raw.content[int(raw.headers[LENGTH]) :]
    assert np.frombuffer(data, "<f4").tolist() == answer


def test_only_models_that_take_media_say_so(client: httpx.Client) -> None:
    names = {
        model: client.get(f"/v2/models/{model}").json().get("parameters", {})
        for model in (FACE, WORDS, VOICES, "gait_student", "tiny_tensors")
    }
    inputs = [fields.get("encoded_media_input") for fields in names.values()]
    assert inputs == ["image", "text", "waveform", None, None]


@pytest.mark.parametrize(
    ("entry", "status", "message"),
    [
        ({"shape": [4], "data": ["", "", "", ""]}, 413, "4 elements; allowed: 3"),
        ({"shape": [0], "data": []}, 400, "has shape [0]; allowed: [N], a file each"),
        ({"shape": [1, 2], "data": ["", ""]}, 400, "has shape [1, 2]"),
        ({"shape": "x", "data": [""]}, 400, "has shape 'x'"),
        ({"shape": [2], "data": [""]}, 400, "has 1 strings; allowed: 2"),
        ({"shape": [1], "data": [5]}, 400, "has data of another form"),
        ({"shape": [1], "data": "x"}, 400, "has data of another form"),
        ({"shape": [1], "data": ["?"]}, 400, "'image' is not base64"),
        ({"shape": [1], "data": ["bm9uZQ=="]}, 400, "found 4 bytes that begin"),
        ({"shape": [1]}, 400, "has neither of data and binary_data_size"),
    ],
)
def test_refusals(client: httpx.Client, entry: Any, status: int, message: str) -> None:
    response = infer(client, FACE, name="image", **entry)
    assert (response.status_code, message in response.json()["error"]) == (status, True), (
        response.text
    )


def test_an_encoded_input_stands_alone(client: httpx.Client) -> None:
    entry = {"name": "image", "datatype": "BYTES", "shape": [1], "data": [""]}
    response = client.post(f"/v2/models/{FACE}/infer", json={"inputs": [entry, entry]})
    assert "1 inputs are beside it; allowed: none" in response.json()["error"]


def test_a_picture_with_a_warning_says_so_in_the_header(client: httpx.Client) -> None:
    assert "x-warnings" not in send(client, FACE, "image", PICTURE).headers


def test_a_tensor_still_is_one(client: httpx.Client) -> None:
    pixels = bytes(64)
    raw = client.post(f"/v2/models/{FACE}/infer", content=pixels, headers={LENGTH: "0"})
    assert raw.status_code == 200
    bmp_like = b"BM" + bytes(62)
    raw = client.post(f"/v2/models/{FACE}/infer", content=bmp_like, headers={LENGTH: "0"})
    assert raw.status_code == 200
