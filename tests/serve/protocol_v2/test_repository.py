"""The routes that load and unload models, and who may use them."""

from pathlib import Path

import httpx
import pytest

from serve.settings import Settings
from tests.serve.conftest import Serve
from tests.support.artifacts import CLASSIFIER, write_artifact

LOAD = "/v2/repository/models/face_emotion_xception/load"
UNLOAD = "/v2/repository/models/face_emotion_xception/unload"
KEY = "schlüssel: 42"


def bearer(key: str) -> httpx.Headers:
    return httpx.Headers({b"Authorization": b"Bearer %b" % key.encode()})


@pytest.mark.parametrize("path", [LOAD, UNLOAD])
def test_without_a_key_nobody_may(client: httpx.Client, path: str) -> None:
    for headers in (httpx.Headers(), bearer("-"), bearer("x")):
        response = client.post(path, headers=headers)
        assert response.status_code == 403
        assert "set SLIPWAY_ADMIN_KEY" in response.json()["error"]
    assert client.post("/v2/repository/index").status_code == 200


def test_the_key_is_needed_in_full(tmp_path: Path, serve: Serve) -> None:
    write_artifact(tmp_path, CLASSIFIER)
    client = serve(Settings(artifacts=tmp_path, admin_key=KEY))
    for key in ("-", "x", KEY[:-1], KEY + "2", KEY.upper()):
        assert client.post(UNLOAD, headers=bearer(key)).status_code == 403
    plain = httpx.Headers({b"Authorization": KEY.encode()})
    assert client.post(UNLOAD, headers=plain).status_code == 403
    assert client.get("/v2/models/face_emotion_xception/ready").status_code == 200
    for path in (UNLOAD, UNLOAD, LOAD, LOAD):
        assert client.post(path, headers=bearer(KEY)).status_code == 200
    unknown = client.post("/v2/repository/models/nobody/load", headers=bearer(KEY))
    assert unknown.status_code == 404


def test_the_states_of_the_index(tmp_path: Path, serve: Serve) -> None:
    write_artifact(tmp_path, CLASSIFIER)
    client = serve(Settings(artifacts=tmp_path, admin_key=KEY))

    def index(**fields: bool) -> list[dict[str, str]]:
        entries: list[dict[str, str]] = client.post("/v2/repository/index", json=fields).json()
        return entries

    entry = {"name": "face_emotion_xception", "version": "1", "state": "READY", "reason": ""}
    assert index() == index(ready=True) == [entry]
    client.post(UNLOAD, headers=bearer(KEY))
    (entry,) = index(ready=False)
    assert (entry["state"], entry["version"]) == ("UNAVAILABLE", "")
    assert "was unloaded" in entry["reason"]
    assert index(ready=True) == []
    ready = client.get("/v2/models/face_emotion_xception/ready")
    assert (ready.status_code, ready.json()["ready"]) == (503, False)
    assert client.get("/v2/health/ready").status_code == 200
    assert client.get("/health").json()["models"]["face_emotion_xception"]["state"] == "withdrawn"


@pytest.mark.parametrize("name", ["config", "file:1/model.onnx"])
def test_models_come_from_the_directory_alone(tmp_path: Path, serve: Serve, name: str) -> None:
    write_artifact(tmp_path, CLASSIFIER)
    client = serve(Settings(artifacts=tmp_path, admin_key=KEY))
    response = client.post(LOAD, json={"parameters": {name: "x"}}, headers=bearer(KEY))
    assert response.status_code == 400
    assert name in response.json()["error"]
    for body in (b"[", b"[1]", b'"x"', b'{"parameters": 1}'):
        assert client.post(LOAD, content=body, headers=bearer(KEY)).status_code == 400
    large = client.post(LOAD, content=b" " * 65537, headers=bearer(KEY))
    assert large.status_code == 413
