"""Several files in one request, over HTTP: each gets its own answer, in order."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from runtime.errors import CancelledError
from serve.repository.provenance import AnswerProvenance
from serve.routes import multi_file
from serve.routes.replies import JsonReply
from serve.settings import Settings
from serve.uploads.form import Form
from serve.uploads.options import Text
from serve.uploads.parse import Upload, parse_upload
from tests.runtime.support.recordings import shades, sound, tone, video
from tests.serve.support.requests import MULTI_FILE_FORMS, post
from tests.serve.support.server import running
from tests.support.artifacts import (
    CLASSIFIER,
    EMBEDDING,
    GAIT,
    SEGMENTATION,
    TEXT,
    VOICE,
    write_artifact,
)
from tests.support.images import half_white, png, solid

BRIGHT, DARK, BROKEN = solid(255, 255, 255), solid(0, 0, 0), b"no picture at all"
FACE, BACKGROUND = "/v1/models/face_emotion_xception", "/v1/background"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    root = tmp_path_factory.mktemp("artifacts")
    for graph in (CLASSIFIER, EMBEDDING, SEGMENTATION, TEXT, GAIT, VOICE):
        write_artifact(root, graph)
    with running(Settings(artifacts=root, max_files=4)) as client:
        yield client


def send(
    client: httpx.Client, path: str, form: str, files: list[bytes], name: str = "image"
) -> httpx.Response:
    return post(client, path, form, [(name, data) for data in files])


def results(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    answer = response.json()
    assert list(answer) == ["results"]
    answers: list[dict[str, Any]] = answer["results"]
    return answers


@pytest.mark.parametrize("form", MULTI_FILE_FORMS)
def test_answers_come_in_the_order_of_the_files(client: httpx.Client, form: str) -> None:
    response = send(client, FACE, form, [DARK, BRIGHT, DARK])
    answers = results(response)
    assert [item["result"]["label"] for item in answers] == ["dark", "bright", "dark"]
    # the file alone gets the same answer
    assert answers[1] == client.post(FACE, content=BRIGHT).json()
    assert response.headers["x-model-digest"] == answers[0]["digest"]


@pytest.mark.parametrize("form", MULTI_FILE_FORMS)
def test_a_bad_file_does_not_lose_the_others(client: httpx.Client, form: str) -> None:
    answers = results(send(client, FACE, form, [BROKEN, BRIGHT, b""]))
    assert answers[0]["status"] == 400
    assert "allowed: JPEG" in answers[0]["error"]
    assert answers[1]["result"]["label"] == "bright"
    assert answers[2]["status"] == 400
    assert "is empty" in answers[2]["error"]


def test_a_value_that_is_no_base64_is_an_error_of_its_own(client: httpx.Client) -> None:
    files = ["not base64!", base64.b64encode(BRIGHT).decode(), 5]
    answers = results(client.post(FACE, json={"image": files}))
    assert [item.get("status", 200) for item in answers] == [400, 200, 400]
    assert "is a number" in answers[2]["error"]


def test_a_batch_of_errors_has_status_200(client: httpx.Client) -> None:
    answers = results(send(client, FACE, "json", [BROKEN, BROKEN]))
    assert [item["status"] for item in answers] == [400, 400]


@pytest.mark.parametrize("form", MULTI_FILE_FORMS)
def test_more_files_than_allowed_are_refused(client: httpx.Client, form: str) -> None:
    response = send(client, FACE, form, [DARK] * 5)
    assert response.status_code == 413
    assert "has 5 images; allowed in one request: 1 to 4" in response.json()["error"]


def test_an_empty_list_is_refused_and_a_list_of_one_is_a_list(client: httpx.Client) -> None:
    response = client.post(FACE, json={"image": []})
    assert response.status_code == 400
    assert "has 0 images" in response.json()["error"]
    listed = {"image": [base64.b64encode(DARK).decode()]}
    assert len(results(client.post(FACE, json=listed))) == 1


def test_files_of_two_names_are_still_refused(client: httpx.Client) -> None:
    response = client.post(FACE, files={"first": DARK, "second": DARK})
    assert response.status_code == 400
    assert "found 2 files (first, second); needed: 1 image" in response.json()["error"]


def test_an_unknown_option_refuses_the_whole_batch(client: httpx.Client) -> None:
    response = client.post(FACE, files=[("image", DARK), ("image", DARK)], params={"colour": "red"})
    assert response.status_code == 400
    assert "'colour' is unknown" in response.json()["error"]


@pytest.mark.parametrize("form", MULTI_FILE_FORMS)
def test_several_cut_outs_come_as_base64(client: httpx.Client, form: str) -> None:
    image = png(half_white())
    answers = results(send(client, BACKGROUND, form, [image, BROKEN]))
    assert answers[0]["result"]["media_type"] == "image/png"
    alone = client.post(BACKGROUND, content=image).content
    assert base64.b64decode(answers[0]["result"]["image"]) == alone
    assert answers[1]["status"] == 400


def test_images_over_the_size_of_one_answer_are_errors_of_their_own(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = png(half_white())
    size = len(client.post(BACKGROUND, content=image).content)
    monkeypatch.setattr(multi_file, "MAX_IMAGE_BYTES", 2 * size)
    answers = results(send(client, BACKGROUND, "json", [image] * 3))
    assert [item.get("status", 200) for item in answers] == [200, 200, 413]
    assert "send this file by itself" in answers[2]["error"]


@pytest.mark.parametrize("form", MULTI_FILE_FORMS)
def test_a_bad_image_does_not_lose_the_other_comparisons(client: httpx.Client, form: str) -> None:
    red, yellow = solid(255, 0, 0), solid(200, 200, 0)
    files = [("image_a", red), ("image_b", BROKEN), ("image_b", yellow), ("image_b", red)]
    response = post(client, "/v1/similarity", form, files, embeddings="true")
    result = response.json()["result"]
    assert [pair.get("cosine") for pair in result["compared"]] == [
        None, pytest.approx(0.5**0.5, abs=1e-6), pytest.approx(1, abs=1e-6),
    ]  # fmt: skip
    assert result["compared"][0]["status"] == 400
    assert "allowed: JPEG" in result["compared"][0]["error"]
    assert result["best"] == 2
    assert result["cosine"] == pytest.approx(1, abs=1e-6)
    others = result["embeddings"]["others"]
    assert [other and other["embedding"] for other in others] == [
        None, pytest.approx([0.5**0.5, 0.5**0.5, 0], abs=1e-6), pytest.approx([1, 0, 0]),
    ]  # fmt: skip


def test_an_empty_image_is_an_error_of_its_own(client: httpx.Client) -> None:
    files = [("image_a", BRIGHT), ("image_b", b""), ("image_b", BRIGHT)]
    response = client.post("/v1/similarity", files=[(n, ("f", d)) for n, d in files])
    assert response.status_code == 200
    empty, same = response.json()["result"]["compared"]
    assert empty["status"] == 400
    assert empty["error"].startswith("the image is empty; allowed: JPEG")
    assert same["cosine"] == pytest.approx(1, abs=1e-6)


def test_a_request_without_a_comparable_image_is_refused(client: httpx.Client) -> None:
    files = [("image_a", BRIGHT), ("image_b", BROKEN), ("image_b", BROKEN)]
    response = client.post("/v1/similarity", files=[(n, ("f", d)) for n, d in files])
    assert response.status_code == 400
    assert "allowed: JPEG" in response.json()["error"]


def test_sounds_clips_and_texts(client: httpx.Client, tmp_path: Path) -> None:
    loud, quiet = (sound(tone(level=level)) for level in (1.0, 0.01))
    answers = results(send(client, "/v1/voice-emotion", "multipart", [loud, quiet], "audio"))
    assert [item["result"]["label"] for item in answers] == ["calm", "quiet"]
    dark, bright = (video(shades([level] * 5), tmp_path) for level in (0, 255))
    answers = results(send(client, "/v1/gait", "json", [bright, dark], "video"))
    assert [item["result"]["label"] for item in answers] == ["bright", "dark"]
    body = {"text": ["slow walk", "", "walk"]}
    answers = results(client.post("/v1/models/clinical_text_minilm", json=body))
    assert [item.get("status", 200) for item in answers] == [200, 400, 200]


def test_a_server_fault_in_one_file_does_not_lose_the_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def answer(upload: Upload) -> JsonReply:
        if upload.files == (DARK,):
            raise ArithmeticError("an output is no number")
        provenance = AnswerProvenance("m", 1, "0" * 64, "float", "pretrained", ())
        return JsonReply(provenance, {"size": len(upload.files[0])})

    uploads = [Upload((DARK,), {}), Upload((BRIGHT,), {})]
    turns = multi_file.answer_each(uploads, answer=answer)
    assert [next(turns), next(turns)] == [2, 1]  # files left before each of them
    with pytest.raises(StopIteration) as end:
        next(turns)
    response = end.value.value
    answers = orjson.loads(response.body)["results"]
    assert answers[0] == {"error": "internal error", "status": 500}
    assert answers[1]["result"] == {"size": len(BRIGHT)}
    assert "an output is no number" in caplog.text


def test_the_files_after_a_cancelled_one_are_not_answered() -> None:
    def answer(upload: Upload) -> JsonReply:
        raise CancelledError

    turns = multi_file.answer_each([Upload((DARK,), {})] * 2, answer=answer)
    assert next(turns) == 2
    with pytest.raises(CancelledError):
        next(turns)


def test_the_header_of_a_batch_says_that_weights_are_seeded(tmp_path: Path) -> None:
    write_artifact(tmp_path, CLASSIFIER, origin="seeded")
    with running(Settings(artifacts=tmp_path, allow_seeded=True)) as client:
        response = send(client, FACE, "multipart", [DARK, BROKEN])
    assert response.headers["x-model-weights"] == "seeded"
    assert results(response)[0]["warnings"]


def test_a_second_field_goes_with_each_of_the_first() -> None:
    form = Form(("image", "background"), (Text(name="color", example="", help=""),), least=0)
    encoded = [base64.b64encode(data).decode() for data in (DARK, BRIGHT, b"behind")]
    body = f'{{"image": ["{encoded[0]}", "{encoded[1]}"], "background": "{encoded[2]}"}}'
    answers = parse_upload(
        body.encode(),
        content_type="application/json",
        query=[("color", "red")],
        form=form,
        max_files=2,
    )
    behind = {"color": "red"}
    assert answers == (Upload((DARK, b"behind"), behind), Upload((BRIGHT, b"behind"), behind))
