"""The task routes, on the wire."""

import base64
import math
import zlib
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from serve.models import SEEDED_WARNING
from serve.routes.predict import DEGENERATE_WARNING
from serve.settings import Settings
from tests.artifacts import CLASSIFIER, EMBEDDING, SEGMENTATION, write_artifact
from tests.serve.conftest import Serve, half_white, png, solid

FACE, PAIR, MASK = "/v1/face-emotion", "/v1/similarity", "/v1/background"


def send(client: httpx.Client, path: str, form: str, images: list[bytes]) -> httpx.Response:
    """POST images in one of the three forms."""
    names = ["image"] if len(images) == 1 else ["image_a", "image_b"]
    if form == "multipart":
        return client.post(path, files=dict(zip(names, images, strict=True)))
    if form == "json":
        encoded = [base64.b64encode(image).decode() for image in images]
        return client.post(path, json=dict(zip(names, encoded, strict=True)))
    params = {"first_bytes": len(images[0])} if len(images) == 2 else {}
    return client.post(path, content=b"".join(images), params=params)


def decode(response: httpx.Response) -> NDArray[np.uint8]:
    """The picture of an answer as stored: BGR or BGRA."""
    assert response.status_code == 200, response.text
    pixels = cv2.imdecode(np.frombuffer(response.content, np.uint8), cv2.IMREAD_UNCHANGED)
    return np.asarray(pixels, np.uint8)


def softmax(*logits: float) -> list[float]:
    powers = [math.exp(value) for value in logits]
    return [power / sum(powers) for power in powers]


@pytest.mark.parametrize("form", ["multipart", "json", "raw"])
@pytest.mark.parametrize("path", [FACE, "/v1/models/face_emotion_xception"])
def test_classification(client: httpx.Client, path: str, form: str) -> None:
    response = send(client, path, form, [solid(255, 255, 255)])
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
        "weights": "pretrained",
        "warnings": [],
    }
    assert result["label"] == "bright"
    bright, grey, dark = softmax(0, -4, -8)
    assert list(result["probabilities"]) == ["bright", "grey", "dark"]
    # float32 in the graph against float64 here
    assert result["probabilities"] == pytest.approx(
        {"bright": bright, "grey": grey, "dark": dark}, abs=1e-6
    )


@pytest.mark.parametrize("form", ["multipart", "json", "raw"])
def test_similarity(client: httpx.Client, form: str) -> None:
    red, yellow = solid(255, 0, 0), solid(200, 200, 0)
    answer = send(client, PAIR, form, [red, yellow]).json()
    assert answer["model"] == "image_embedding_mobilenetv2"
    assert answer["result"]["cosine"] == pytest.approx(math.sqrt(0.5), abs=1e-6)  # float32
    assert answer["result"]["calibration"] == "uncalibrated"


def test_similarity_of_an_image_with_itself_is_one(client: httpx.Client) -> None:
    image = solid(3, 77, 191)
    cosine = send(client, PAIR, "multipart", [image, image]).json()["result"]["cosine"]
    assert cosine == pytest.approx(1.0, abs=1e-6)
    assert cosine <= 1.0


def test_an_embedding_carries_its_model(client: httpx.Client) -> None:
    answer = client.post("/v1/models/image_embedding_mobilenetv2", content=solid(0, 9, 0)).json()
    assert answer["result"]["embedding"] == pytest.approx([0, 1, 0], abs=1e-6)
    assert answer["result"]["digest"] == answer["digest"]


@pytest.mark.parametrize("form", ["multipart", "json", "raw"])
def test_detections_are_in_pixels_of_the_source(client: httpx.Client, form: str) -> None:
    image = np.full((32, 64, 3), 100, np.uint8)  # on a canvas of 16 x 16, padded above and below
    image[16:, :16] = (0, 255, 0)
    image[:16, 16:32] = (204, 0, 0)
    answer = send(client, "/v1/models/tiny_detector", form, [png(image)]).json()
    assert (answer["model"], answer["warnings"]) == ("tiny_detector", [])
    green, red = answer["result"]["detections"]
    assert (green["label"], green["score"]) == ("green", pytest.approx(1.0, abs=1e-6))
    assert green["box"] == {"x1": 0, "y1": 16, "x2": 16, "y2": 32}
    assert green["keypoints"] == [[8, 24]]
    assert (red["label"], red["score"]) == ("red", pytest.approx(0.8, abs=1e-6))
    assert red["box"] == {"x1": 16, "y1": 0, "x2": 32, "y2": 16}


def test_nothing_found_is_an_empty_list(client: httpx.Client) -> None:
    answer = client.post("/v1/models/tiny_detector", content=solid(9, 9, 9)).json()
    assert answer["result"] == {"detections": []}


@pytest.mark.parametrize("form", ["multipart", "json", "raw"])
def test_a_cut_out_is_a_png_with_transparency(client: httpx.Client, form: str) -> None:
    response = send(client, MASK, form, [png(half_white())])
    assert response.headers["content-type"] == "image/png"
    assert response.headers["x-model"] == "background_u2netp"
    assert response.headers["x-model-version"] == "1"
    assert len(response.headers["x-model-digest"]) == 64
    assert "x-warnings" not in response.headers
    pixels = decode(response)
    assert pixels.shape == (32, 48, 4)
    assert np.all(pixels[:, :20, 3] == 0)
    assert np.all(pixels[:, 28:] == 255)


@pytest.mark.parametrize("size", [(1500, 3000), (1100, 5)])
def test_a_cut_out_has_the_size_of_its_source(client: httpx.Client, size: tuple[int, int]) -> None:
    height, width = size
    image = half_white(height=height, width=width)
    pixels = decode(client.post(MASK, content=png(image)))
    assert pixels.shape == (height, width, 4)
    assert np.array_equal(pixels[:, :, 2], image[:, :, 0])
    assert np.all(pixels[:, 0, 3] == 0)
    assert np.all(pixels[:, -1, 3] == 255)


def test_the_mask_is_made_from_a_smaller_image(artifacts: Path, serve: Serve) -> None:
    # noise averages out where 1000 px become 10; the model would see it in the whole image
    noise = np.random.default_rng(0).integers(0, 256, (1000, 1000, 3), np.uint8)
    limited = serve(Settings(artifacts=artifacts, background_max_side_px=10))
    whole = serve(Settings(artifacts=artifacts))
    assert limited.post(MASK, content=png(noise)).headers["x-warnings"] == DEGENERATE_WARNING
    assert "x-warnings" not in whole.post(MASK, content=png(noise)).headers


def test_a_summary_is_of_the_smaller_image_with_the_size_of_its_source(
    artifacts: Path, serve: Serve
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1000, 500, 3), np.uint8)
    limited = serve(Settings(artifacts=artifacts, background_max_side_px=10))
    answer = limited.post("/v1/models/background_u2netp", content=png(noise)).json()
    assert (answer["result"]["height"], answer["result"]["width"]) == (1000, 500)
    assert answer["warnings"] == [DEGENERATE_WARNING]


@pytest.mark.parametrize("colour", ["#336699", "336699", "#369", "%23336699", "369"])
def test_a_colour_in_the_query(client: httpx.Client, colour: str) -> None:
    # written into the address as curl would: an unescaped # begins the fragment, so only %23 works
    address = f"{MASK}?color={colour.replace('#', '%23')}"
    pixels = decode(client.post(address, content=png(half_white())))
    assert pixels.shape == (32, 48, 3)
    assert np.all(pixels[:, :20] == (0x99, 0x66, 0x33))
    assert np.all(pixels[:, 28:] == 255)


def test_options_as_fields(client: httpx.Client) -> None:
    image, options = png(half_white()), {"color": "#00f", "format": "jpeg"}
    multipart = client.post(MASK, files={"image": image}, data=options)
    encoded = base64.b64encode(image).decode()
    as_json = client.post(MASK, json={"image": encoded, **options})
    query = client.post(MASK, content=image, params=options)
    assert multipart.content == as_json.content == query.content
    assert multipart.headers["content-type"] == "image/jpeg"
    assert np.abs(decode(query)[:, :16].astype(int) - (255, 0, 0)).max() <= 3  # JPEG's rounding


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"format": "jpeg"}, "JPEG has no transparency"),
        ({"color": "blue"}, "color is 'blue'; allowed: #rrggbb"),
        ({"format": "gif"}, "format is 'gif'; allowed: png, jpeg"),
        ({"size": "5"}, "'size' is unknown; allowed: image, color, format"),
    ],
)
def test_bad_options(client: httpx.Client, params: dict[str, str], message: str) -> None:
    response = client.post(MASK, content=png(half_white()), params=params)
    assert response.status_code == 400
    assert message in response.json()["error"]


@pytest.mark.parametrize(
    ("side", "kind", "params", "status"),
    [
        (65_500, "png", {"color": "fff", "format": "jpeg"}, 200),
        (65_501, "png", {"color": "fff", "format": "jpeg"}, 400),
        (70_000, "png", {}, 200),
        (1_000_000, "bmp", {"color": "fff"}, 200),
        (1_000_001, "bmp", {}, 400),
    ],
)
def test_a_side_too_long_for_the_format_of_the_answer(
    client: httpx.Client, side: int, kind: str, params: dict[str, str], status: int
) -> None:
    image = cv2.imencode(f".{kind}", np.zeros((1, side, 3), np.uint8))[1].tobytes()
    response = client.post(MASK, content=image, params=params)
    assert response.status_code == status
    if status == 400:
        assert f"image is {side} x 1 px; allowed: sides of" in response.json()["error"]


def test_a_mask_that_tells_nothing_apart_is_warned_of(client: httpx.Client) -> None:
    image = solid(40, 40, 40)
    assert client.post(MASK, content=image).headers["x-warnings"] == DEGENERATE_WARNING
    answer = client.post("/v1/models/background_u2netp", content=image).json()
    assert answer["warnings"] == [DEGENERATE_WARNING]
    assert answer["result"]["degenerate"] is True


def test_seeded_weights_are_in_every_answer(tmp_path: Path, serve: Serve) -> None:
    for graph in (CLASSIFIER, EMBEDDING, SEGMENTATION):
        write_artifact(tmp_path, graph, origin="seeded")
    client = serve(Settings(artifacts=tmp_path, allow_seeded=True))
    image = png(half_white())
    for response in (
        send(client, FACE, "raw", [image]),
        send(client, PAIR, "raw", [image, image]),
        send(client, MASK, "raw", [image]),
    ):
        assert response.status_code == 200
        assert response.headers["x-model-weights"] == "seeded"
        assert response.headers["x-warnings"] == SEEDED_WARNING
    assert client.post(FACE, content=image).json()["warnings"] == [SEEDED_WARNING]
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
def test_bodies_that_are_no_image(client: httpx.Client, path: str, kind: str, body: bytes) -> None:
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
        "error": "found 1 file (image_a); needed: 2 images (image_a, image_b)"
    }
    assert client.post(PAIR, content=image).status_code == 400


def test_a_task_route_without_its_model(tmp_path: Path, serve: Serve) -> None:
    write_artifact(tmp_path, CLASSIFIER)
    response = serve(Settings(artifacts=tmp_path)).post(MASK, content=solid(0, 0, 0))
    assert response.status_code == 404
    assert response.json() == {
        "error": "model 'background_u2netp' is unknown; known: face_emotion_xception"
    }
