"""POST /v1/similarity, over HTTP."""

import base64
import json
import math
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from serve.settings import Settings
from tests.serve.support.requests import MULTI_FILE_FORMS, post
from tests.serve.support.server import running
from tests.support.artifacts import EMBEDDING, SCALED, write_artifact
from tests.support.images import solid

PATH = "/v1/similarity"
RED, GREEN, YELLOW = solid(255, 0, 0), solid(0, 255, 0), solid(200, 200, 0)
HALF = math.sqrt(0.5)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    root = tmp_path_factory.mktemp("artifacts")
    for graph in (SCALED, EMBEDDING):
        write_artifact(root, graph)
    with running(Settings(artifacts=root, similarity_model="tiny_scaled")) as client:
        yield client


def ask(client: httpx.Client, form: str, files: list[bytes], **options: str) -> httpx.Response:
    """POST images, or embeddings as JSON, as multipart or JSON."""
    names = ["image_a", *["image_b"] * (len(files) - 1)]
    if form == "multipart":
        return post(client, PATH, form, list(zip(names, files, strict=True)), **options)
    first, *others = (_in_json(file) for file in files)
    return client.post(PATH, json={"image_a": first, "image_b": others, **options})


def _in_json(file: bytes) -> Any:
    return json.loads(file) if file[:1] == b"{" else base64.b64encode(file).decode()


@pytest.mark.parametrize("form", MULTI_FILE_FORMS)
def test_one_against_many_with_their_embeddings(client: httpx.Client, form: str) -> None:
    response = ask(client, form, [RED, GREEN, YELLOW, RED], embeddings="true")
    assert response.status_code == 200, response.text
    result = response.json()["result"]
    assert (result["best"], result["calibration"]) == (2, "sha256:" + "7" * 64)
    assert [pair["cosine"] for pair in result["compared"]] == pytest.approx([0, HALF, 1], abs=1e-6)
    assert result["score"] >= 0.99
    embeddings = result["embeddings"]
    assert embeddings["first"] == embeddings["others"][2]
    assert embeddings["first"]["digest"] == response.headers["x-model-digest"]
    files = [
        json.dumps(embedding).encode()
        for embedding in (embeddings["first"], *embeddings["others"][:2])
    ]
    again = ask(client, form, [*files, RED]).json()["result"]
    assert again == {name: value for name, value in result.items() if name != "embeddings"}


def test_an_answer_of_the_model_may_replace_an_image(client: httpx.Client) -> None:
    answer = client.post("/v1/models/tiny_scaled", content=YELLOW)
    assert answer.json()["result"]["version"] == 1
    result = ask(client, "multipart", [RED, answer.content]).json()["result"]
    assert result["cosine"] == pytest.approx(HALF, abs=1e-6)


@pytest.mark.parametrize("form", MULTI_FILE_FORMS)
def test_embeddings_of_another_digest_are_refused(client: httpx.Client, form: str) -> None:
    other = client.post("/v1/models/image_embedding_mobilenetv2", content=RED).content
    response = ask(client, form, [RED, other])
    assert response.status_code == 400
    assert "embeddings of different digests do not compare" in response.json()["error"]


@pytest.mark.parametrize(
    ("files", "options", "message"),
    [
        ([RED] * 34, {}, "found 34 files"),
        ([RED], {}, "found 1 file (image_a); needed: 2 to 33 images"),
        ([RED, b"no image"], {}, "image_b: found 8 bytes that begin 6e 6f"),
        ([b"no image", RED], {}, "image_a: found 8 bytes that begin 6e 6f"),
        ([RED, b'{"a": 1}'], {}, "the embedding has no model"),
        ([RED, RED], {"embeddings": "maybe"}, "embeddings is 'maybe'; allowed: true, false"),
    ],
)
def test_invalid_requests_are_refused(
    client: httpx.Client, files: list[bytes], options: dict[str, str], message: str
) -> None:
    response = ask(client, "multipart", files, **options)
    assert response.status_code == 400
    assert message in response.json()["error"]


def test_a_description_holds_the_score_scale(client: httpx.Client) -> None:
    card = client.get("/v1/models/tiny_scaled").json()
    assert card["similarity"]["cosines"] == [-1.0, 0.0, 0.25, 0.75, 1.0]
    assert "similarity" not in client.get("/v1/models/image_embedding_mobilenetv2").json()
