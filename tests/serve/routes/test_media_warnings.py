"""Warnings about the files of a request, in the answers of every route that reads images."""

from collections.abc import Iterator

import httpx
import pytest
from PIL import Image

from serve.settings import Settings
from tests.runtime.support.pictures import encode
from tests.serve.support.server import running
from tests.support.artifacts import CLASSIFIER, EMBEDDING, SEGMENTATION, write_artifact
from tests.support.images import half_white, png

WARNING = "the colour profile is damaged: it has no signature 'acsp': the colours count as sRGB"
DAMAGED = encode(Image.fromarray(half_white()), "PNG", icc_profile=b"no profile")
PLAIN = png(half_white())


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    root = tmp_path_factory.mktemp("artifacts")
    for graph in (CLASSIFIER, EMBEDDING, SEGMENTATION):
        write_artifact(root, graph)
    with running(Settings(artifacts=root)) as client:
        yield client


@pytest.mark.parametrize(
    ("route", "field"),
    [
        ("/v1/face-emotion", "image"),
        ("/v1/background", "image"),
        ("/v1/models/face_emotion_xception", "image"),
        ("/v1/models/background_u2netp", "image"),
        ("/v1/models/image_embedding_mobilenetv2", "image"),
    ],
)
def test_a_damaged_profile_is_a_warning(client: httpx.Client, route: str, field: str) -> None:
    response = client.post(route, files={field: DAMAGED})
    assert response.status_code == 200, response.text
    assert WARNING in response.headers["x-warnings"].split("; ")
    if response.headers["content-type"] == "application/json":
        assert WARNING in response.json()["warnings"]
    assert WARNING not in client.post(route, files={field: PLAIN}).headers.get("x-warnings", "")


def test_each_image_of_a_comparison_is_warned_about_once(client: httpx.Client) -> None:
    for first, second in ((DAMAGED, PLAIN), (PLAIN, DAMAGED), (DAMAGED, DAMAGED)):
        files = [("image_a", first), ("image_b", second)]
        assert client.post("/v1/similarity", files=files).json()["warnings"] == [WARNING]
        many = client.post("/v1/similarity", files=[*files, ("image_b", PLAIN)])
        assert many.json()["warnings"] == [WARNING]


def test_each_file_of_a_batch_has_its_own_warnings(client: httpx.Client) -> None:
    files = [("image", PLAIN), ("image", DAMAGED)]
    response = client.post("/v1/models/face_emotion_xception", files=files)
    assert [entry["warnings"] for entry in response.json()["results"]] == [[], [WARNING]]
    assert response.headers["x-warnings"] == WARNING
