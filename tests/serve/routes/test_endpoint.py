"""The task routes, over HTTP."""

import math
import zlib
from pathlib import Path

import httpx
import numpy as np
import pytest

from runtime.results import DEGENERATE
from serve.repository.provenance import SEEDED_WARNING
from serve.routes.face_emotion import NO_DETECTOR
from serve.settings import Settings
from tests.serve.conftest import Serve
from tests.serve.support.requests import FORMS, MULTI_FILE_FORMS, post
from tests.support.artifacts import CLASSIFIER, EMBEDDING, SEGMENTATION, write_artifact
from tests.support.images import half_white, png, solid

FACE, PAIR, MASK = "/v1/face-emotion", "/v1/similarity", "/v1/background"


def softmax(*logits: float) -> list[float]:
    powers = [math.exp(value) for value in logits]
    return [power / sum(powers) for power in powers]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("path", [FACE, "/v1/models/face_emotion_xception"])
def test_classification(client: httpx.Client, path: str, form: str) -> None:
    response = post(client, path, form, {"image": solid(255, 255, 255)})
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-model-weights"] == "pretrained"
    answer = response.json()
    digest = response.headers["x-model-digest"]
    result = answer.pop("result")
    assert answer == {
        "model": "face_emotion_xception",
        "version": 1,
        "digest": digest,
        "variant": "float",
        "weights_origin": "pretrained",
        "weights": "pretrained",
        "warnings": [NO_DETECTOR] if path == FACE else [],
    }
    assert result["label"] == "bright"
    bright, grey, dark = softmax(0, -4, -8)
    assert list(result["probabilities"]) == ["bright", "grey", "dark"]
    # float32 in the graph against float64 here
    assert result["probabilities"] == pytest.approx(
        {"bright": bright, "grey": grey, "dark": dark}, abs=1e-6
    )


@pytest.mark.parametrize("form", MULTI_FILE_FORMS)
def test_similarity(client: httpx.Client, form: str) -> None:
    red, yellow = solid(255, 0, 0), solid(200, 200, 0)
    answer = post(client, PAIR, form, {"image_a": red, "image_b": yellow}).json()
    assert answer["model"] == "image_embedding_mobilenetv2"
    assert answer["result"]["cosine"] == pytest.approx(math.sqrt(0.5), abs=1e-6)  # float32
    assert answer["result"]["calibration"] == "uncalibrated"


def test_similarity_of_an_image_with_itself_is_one(client: httpx.Client) -> None:
    image = solid(3, 77, 191)
    files = {"image_a": image, "image_b": image}
    cosine = post(client, PAIR, "multipart", files).json()["result"]["cosine"]
    assert cosine == pytest.approx(1.0, abs=1e-6)
    assert cosine <= 1.0


def test_an_embedding_carries_its_model(client: httpx.Client) -> None:
    answer = client.post("/v1/models/image_embedding_mobilenetv2", content=solid(0, 9, 0)).json()
    assert answer["result"]["embedding"] == pytest.approx([0, 1, 0], abs=1e-6)
    assert answer["result"]["digest"] == answer["digest"]


@pytest.mark.parametrize("form", FORMS)
def test_detections_are_in_pixels_of_the_source(client: httpx.Client, form: str) -> None:
    image = np.full((32, 64, 3), 100, np.uint8)  # on a canvas of 16 x 16, padded above and below
    image[16:, :16] = (0, 255, 0)
    image[:16, 16:32] = (204, 0, 0)
    answer = post(client, "/v1/models/tiny_detector", form, {"image": png(image)}).json()
    assert (answer["model"], answer["warnings"]) == ("tiny_detector", [])
    green, red = answer["result"]["detections"]
    assert (green["label"], green["score"]) == ("green", pytest.approx(1.0, abs=1e-6))
    assert green["box"] == {"x1": 0, "y1": 16, "x2": 16, "y2": 32}
    assert green["keypoints"] == [[8, 24]]
    assert (red["label"], red["score"]) == ("red", pytest.approx(0.8, abs=1e-6))
    assert red["box"] == {"x1": 16, "y1": 0, "x2": 32, "y2": 16}


def test_no_detection_is_an_empty_list(client: httpx.Client) -> None:
    answer = client.post("/v1/models/tiny_detector", content=solid(9, 9, 9)).json()
    assert answer["result"] == {"detections": []}


def test_a_summary_is_of_the_smaller_image_with_the_size_of_its_source(
    artifacts: Path, serve: Serve
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1000, 500, 3), np.uint8)
    limited = serve(Settings(artifacts=artifacts, background_max_side_px=10))
    answer = limited.post("/v1/models/background_u2netp", content=png(noise)).json()
    assert (answer["result"]["height"], answer["result"]["width"]) == (1000, 500)
    assert answer["warnings"] == [DEGENERATE]


def test_seeded_weights_are_in_every_answer(tmp_path: Path, serve: Serve) -> None:
    for graph in (CLASSIFIER, EMBEDDING, SEGMENTATION):
        write_artifact(tmp_path, graph, origin="seeded")
    client = serve(Settings(artifacts=tmp_path, allow_seeded=True))
    image = png(half_white())
    for response in (
        post(client, FACE, "raw", {"image": image}),
        post(client, PAIR, "json", {"image_a": image, "image_b": image}),
        post(client, MASK, "raw", {"image": image}),
    ):
        assert response.status_code == 200
        assert response.headers["x-model-weights"] == "seeded"
        assert SEEDED_WARNING in response.headers["x-warnings"]
    assert client.post(FACE, content=image).json()["warnings"] == [SEEDED_WARNING, NO_DETECTOR]
    models = client.get("/health").json()["models"]
    assert {model["weights"] for model in models.values()} == {"seeded"}


@pytest.mark.parametrize("path", [FACE, MASK, "/v1/models/tiny_slow"])
@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("empty", b""),
        ("no image", b"hello, I am no image"),
        ("truncated", png(half_white(height=200, width=200))[:150]),
    ],
)
def test_bodies_that_are_no_image_are_refused(
    client: httpx.Client, path: str, kind: str, body: bytes
) -> None:
    response = client.post(path, content=body)
    assert response.status_code == 400, kind
    assert response.headers["content-type"] == "application/json"
    assert isinstance(response.json()["error"], str)


def test_a_png_that_claims_60000_x_60000_px(client: httpx.Client) -> None:
    data = bytearray(solid(0, 0, 0))
    data[16:24] = (60000).to_bytes(4, "big") * 2
    response = client.post(FACE, content=bytes(data))
    assert response.status_code in (400, 413)  # the checksum of its header may be checked first
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    response = client.post(FACE, content=bytes(data))
    assert response.status_code == 413
    assert "60000" in response.json()["error"]


def test_max_pixels_is_a_setting(artifacts: Path, serve: Serve) -> None:
    client = serve(Settings(artifacts=artifacts, max_pixels=599))
    assert client.post(FACE, content=solid(0, 0, 0, height=20, width=30)).status_code == 413
    assert client.post(FACE, content=solid(0, 0, 0, height=20, width=29)).status_code == 200


def test_a_missing_second_image(client: httpx.Client) -> None:
    image = solid(1, 2, 3)
    response = client.post(PAIR, files={"image_a": image})
    assert response.status_code == 400
    assert response.json() == {
        "error": "found 1 file (image_a); needed: 2 to 33 images (image_a, image_b up to 32 times)"
    }
    assert client.post(PAIR, content=image).status_code == 400


def test_a_task_route_without_its_model(tmp_path: Path, serve: Serve) -> None:
    write_artifact(tmp_path, CLASSIFIER)
    image = solid(0, 0, 0)
    answer = post(
        serve(Settings(artifacts=tmp_path)), PAIR, "json", {"image_a": image, "image_b": image}
    )
    assert answer.status_code == 404
    assert answer.json() == {
        "error": "model 'image_embedding_mobilenetv2' is unknown; known: face_emotion_xception"
    }
