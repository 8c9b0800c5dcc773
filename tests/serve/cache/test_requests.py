"""Requests that are answered from the cache, and those that must not be."""

import io
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import cv2
import httpx
import numpy as np
import pytest
from PIL import Image as Pillow

from runtime.engine.cancellation import Cancellation
from runtime.engine.session import Session
from runtime.errors import CancelledError
from serve.settings import Settings
from tests.serve.support.requests import FORMS, post
from tests.serve.support.server import running
from tests.support.artifacts import CLASSIFIER, EMBEDDING, SEGMENTATION, TEXT, write_artifact
from tests.support.images import png

MOBILENET, U2NET = "image_embedding_mobilenetv2", "background_u2netp"
EMBED, MASK = f"/v1/models/{MOBILENET}", f"/v1/models/{U2NET}"
KEY = {"Authorization": "Bearer secret"}


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    root = tmp_path_factory.mktemp("artifacts")
    for graph in (CLASSIFIER, EMBEDDING, SEGMENTATION, TEXT):
        write_artifact(root, graph)
    return Settings(artifacts=root, admin_key="secret", background_model=U2NET)


@pytest.fixture(scope="module")
def client(settings: Settings) -> Iterator[httpx.Client]:
    with running(settings) as client:
        yield client


@pytest.fixture
def photo(request: pytest.FixtureRequest) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Return a picture of its own for each test."""
    seed = sum(request.node.name.encode())
    return np.random.default_rng(seed).integers(0, 256, (24, 36, 3), np.uint8)


def cache_of(response: httpx.Response) -> str | None:
    assert response.status_code == 200, response.text
    state: str | None = response.headers.get("x-cache")
    return state


def test_the_same_request_again_gets_the_same_answer(client: httpx.Client, photo: Any) -> None:
    first, again = (client.post(EMBED, content=png(photo)) for _ in range(2))
    assert (cache_of(first), cache_of(again)) == ("miss", "hit")
    assert again.content == first.content
    varying = {"date", "x-request-id", "x-cache", "age", "server-timing"}
    assert {n: v for n, v in again.headers.items() if n not in varying} == {
        n: v for n, v in first.headers.items() if n not in varying
    }
    assert "age" not in first.headers
    assert int(again.headers["age"]) >= 0


@pytest.mark.parametrize("form", FORMS)
def test_the_file_counts_and_not_how_it_is_sent(
    client: httpx.Client, photo: Any, form: str
) -> None:
    post(client, EMBED, "raw", {"image": png(photo)})
    response = post(client, EMBED, form, {"image": png(photo)})
    assert cache_of(response) == "hit"
    assert "server-timing" not in response.headers  # its file was not even decoded


def test_another_file_option_or_route_is_another_request(client: httpx.Client, photo: Any) -> None:
    path, data = "/v1/background", png(photo)
    assert cache_of(client.post(path, content=data)) == "miss"
    assert cache_of(client.post(path, content=data)) == "hit"
    for other in ("?color=ff0000", "?color=00ff00", "?format=webp", "?clean=false"):
        response = client.post(path + other, content=data)
        assert "server-timing" in response.headers  # computed; the mask alone was stored
        assert response.content != client.post(path, content=data).content
    assert cache_of(client.post(MASK, content=data)) in ("miss", "hit")
    photo[0, 0] ^= 1
    assert "server-timing" in client.post(path, content=png(photo)).headers


def test_a_picture_that_is_encoded_again_is_not_run_again(client: httpx.Client, photo: Any) -> None:
    done, encoded = cv2.imencode(".png", photo[..., ::-1], (cv2.IMWRITE_PNG_COMPRESSION, 0))
    assert done
    assert encoded.tobytes() != png(photo)
    first = client.post(EMBED, content=png(photo))
    again = client.post(EMBED, content=encoded.tobytes())
    assert (cache_of(first), cache_of(again)) == ("miss", "hit")
    assert "run;dur=0.000" in again.headers["server-timing"]
    assert again.json() == first.json()


def test_warnings_belong_to_the_file_and_not_to_its_pixels(
    client: httpx.Client, photo: Any
) -> None:
    with_profile = io.BytesIO()
    Pillow.fromarray(photo).save(with_profile, "PNG", icc_profile=b"no profile" * 20)
    client.post(EMBED, content=png(photo))
    response = client.post(EMBED, content=with_profile.getvalue())
    assert cache_of(response) == "hit"
    assert "colour profile" in response.json()["warnings"][0]
    assert client.post(EMBED, content=png(photo)).json()["warnings"] == []


def test_sizes_belong_to_the_file_and_not_to_the_input_of_the_graph(client: httpx.Client) -> None:
    small, large = np.zeros((20, 20, 3), np.uint8), np.zeros((40, 60, 3), np.uint8)
    client.post(MASK, content=png(small))
    response = client.post(MASK, content=png(large))  # both are resized to the same black square
    result = response.json()["result"]
    assert (cache_of(response), result["height"], result["width"]) == ("hit", 40, 60)


def test_a_large_body_is_stored_too(client: httpx.Client) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8)
    assert len(png(noise)) > 256 * 1024
    for form in FORMS:
        post(client, EMBED, form, {"image": png(noise)})
        response = post(client, EMBED, form, {"image": png(noise)})
        assert cache_of(response) == "hit"
        assert "server-timing" not in response.headers


@pytest.mark.parametrize(
    ("control", "states"),
    [("no-store", ("bypass", "bypass", "miss")), ("no-cache", ("bypass", "bypass", "hit"))],
)
def test_a_client_may_want_a_new_answer(
    client: httpx.Client, photo: Any, control: str, states: Sequence[str]
) -> None:
    headers = {"Cache-Control": control}
    answers = [cache_of(client.post(EMBED, content=png(photo), headers=headers)) for _ in range(2)]
    answers.append(cache_of(client.post(EMBED, content=png(photo))))
    assert answers == list(states)


def test_several_files_are_answered_one_by_one(client: httpx.Client, photo: Any) -> None:
    files = [("image", png(photo)), ("image", b"no picture"), ("image", png(photo[::-1]))]
    first, again = (post(client, EMBED, "multipart", files) for _ in range(2))
    assert (cache_of(first), cache_of(again)) == ("miss", "hit")
    assert again.json() == first.json()
    assert again.json()["results"][1]["status"] == 400
    assert "run;dur=0.000" in again.headers["server-timing"]


def test_an_error_is_not_stored(client: httpx.Client) -> None:
    for _ in range(2):
        response = client.post(EMBED, content=b"no picture")
        assert response.status_code == 400
        assert "x-cache" not in response.headers


def test_pairs_of_known_pictures_need_no_run(client: httpx.Client, photo: Any) -> None:
    a, b = png(photo), png(photo[::-1])
    for data in (a, b):
        client.post(EMBED, content=data)
    response = post(client, "/v1/similarity", "multipart", {"image_a": a, "image_b": b})
    assert cache_of(response) == "hit"
    assert "run;dur=0.000" in response.headers["server-timing"]


def test_faces_and_the_protocol_are_not_stored(client: httpx.Client, photo: Any) -> None:
    for path in ("/v1/models/face_emotion_xception", "/v1/face-emotion"):
        for _ in range(2):
            response = client.post(path, content=png(photo))
            assert cache_of(response) is None
            assert "run;dur=0.000" not in response.headers["server-timing"]
    body = {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": []}]}
    assert "x-cache" not in client.post(f"/v2/models/{MOBILENET}/infer", json=body).headers


def test_to_clear_the_memory_drops_answers(client: httpx.Client, photo: Any) -> None:
    client.post(EMBED, content=png(photo))
    assert client.get("/v1/memory").json()["cache_bytes"] > 1000
    client.post("/v1/memory/clear", headers=KEY)
    assert client.get("/v1/memory").json()["cache_bytes"] == 0
    assert cache_of(client.post(EMBED, content=png(photo))) == "miss"


def test_what_is_stored_is_a_setting(settings: Settings, photo: Any) -> None:
    with running(replace(settings, cache=("image-classification",))) as client:
        for path, state in ((EMBED, None), ("/v1/face-emotion", "hit")):
            client.post(path, content=png(photo))
            assert cache_of(client.post(path, content=png(photo))) == state


def test_without_room_every_answer_is_computed(settings: Settings, photo: Any) -> None:
    with running(replace(settings, cache_mib=0)) as client:
        assert [cache_of(client.post(EMBED, content=png(photo))) for _ in range(2)] == ["miss"] * 2


class HeldRuns:
    """Runs of graphs that wait until they are released, or cancelled; counted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.begun, self.released, self.stopped = (threading.Event() for _ in range(3))
        original = Session._run

        def run(session: Session, names: Any, feeds: Any) -> Any:
            self.count += 1
            self.begun.set()
            while not self.released.wait(0.01):
                try:
                    cast(Cancellation, session._cancellation).check()
                except CancelledError:
                    self.stopped.set()
                    raise
            return original(session, names, feeds)

        monkeypatch.setattr(Session, "_run", run)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> HeldRuns:
    return HeldRuns(monkeypatch)


def test_equal_requests_at_once_run_once(client: httpx.Client, photo: Any, runs: HeldRuns) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(client.post, EMBED, content=png(photo)) for _ in range(8)]
        assert runs.begun.wait(60)
        runs.released.set()
    assert runs.count == 1
    assert len({answer.result().content for answer in answers}) == 1
    states = sorted(str(cache_of(answer.result())) for answer in answers)
    assert states == ["hit"] * 7 + ["miss"]


def test_the_first_leaves_and_the_second_gets_its_answer(
    client: httpx.Client, photo: Any, runs: HeldRuns
) -> None:
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(client.post, EMBED, content=png(photo), timeout=3.0)
        assert runs.begun.wait(60)
        second = pool.submit(client.post, EMBED, content=png(photo))
        with pytest.raises(httpx.ReadTimeout):
            first.result()
        runs.released.set()
        assert (cache_of(second.result()), runs.count) == ("hit", 1)


def test_a_run_that_everybody_left_ends(client: httpx.Client, photo: Any, runs: HeldRuns) -> None:
    with pytest.raises(httpx.ReadTimeout):
        client.post(EMBED, content=png(photo), timeout=1.5)
    assert runs.stopped.wait(60)
    runs.released.set()
    assert cache_of(client.post(EMBED, content=png(photo))) == "miss"
    assert runs.count == 2


def test_another_version_has_other_answers(tmp_path: Path, photo: Any) -> None:
    write_artifact(tmp_path, EMBEDDING)
    states = []
    for version in (1, 2):
        if version == 2:
            write_artifact(tmp_path, EMBEDDING, version=2)
        with running(Settings(artifacts=tmp_path)) as client:
            states += [client.post(EMBED, content=png(photo)) for _ in range(2)]
    assert [cache_of(state) for state in states] == ["miss", "hit", "miss", "hit"]
    assert states[3].json()["version"] == 2
