"""The routes that describe the models, and the behaviour that all routes share."""

import sys
import threading
import time
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

import serve as package
from runtime.engine.session import Session
from serve.settings import Settings
from tests.serve.conftest import Serve
from tests.serve.support.server import running
from tests.support.artifacts import CLASSIFIER, write_artifact
from tests.support.images import solid

PROJECT = Path(__file__).parents[2]


def test_the_version_is_the_projects() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    assert package.__version__ == project["project"]["version"]


def test_health(client: httpx.Client) -> None:
    response = client.get("/health")
    assert response.status_code == 200
    answer = response.json()
    assert answer["status"] == "ok"
    assert answer["version"] == package.__version__
    assert answer["models"]["background_u2netp"] == {
        "version": 1,
        "variant": "float",
        "weights_origin": "pretrained",
        "weights": "pretrained",
        "provider": "cpu",
        "state": "ready",
    }
    assert len(answer["models"]) == 6


def test_a_model_describes_itself(client: httpx.Client) -> None:
    response = client.get("/v1/models/face_emotion_xception")
    assert response.headers["x-model-weights"] == "pretrained"
    answer = response.json()
    assert len(answer.pop("digest")) == 64
    assert answer == {
        "id": "face_emotion_xception",
        "task": "image-classification",
        "description": "made by hand for the tests",
        "version": 1,
        "variant": "float",
        "precision": "float",
        "provider": "cpu",
        "weights_origin": "pretrained",
        "weights_source": "made by hand",
        "weights": {"origin": "pretrained", "source": "made by hand"},
        "assumptions": [],
        "labels": ["dark", "grey", "bright"],
        "inputs": [{"name": "image", "dtype": "uint8", "shape": ["N", 8, 8, 1]}],
        "outputs": [{"name": "probabilities", "dtype": "float32", "shape": ["N", 3]}],
        "preprocess": [
            {"interpolation": "linear", "height": 8, "width": 8, "op": "resize"},
            {"op": "grayscale"},
        ],
        "licence": "Apache-2.0",
        "calibration": "verified on synthetic inputs only",
        "warnings": [],
        "routing": {
            "pinned": False,
            "default": {"version": 1, "state": "ready"},
            "candidate": None,
            "previous": None,
        },
    }


def test_a_detector_describes_its_non_max_suppression(client: httpx.Client) -> None:
    answer = client.get("/v1/models/tiny_detector").json()
    rules = {"score_threshold": 0.6, "iou_threshold": 0.5, "max_detections": 20}
    assert answer["suppression"] == rules
    assert [output["name"] for output in answer["outputs"]] == ["boxes_xyxy", "scores", "keypoints"]
    assert answer["preprocess"][0]["op"] == "letterbox"


def test_the_list_is_every_description(client: httpx.Client) -> None:
    models = client.get("/v1/models").json()["models"]
    assert [model["id"] for model in models] == sorted(client.get("/health").json()["models"])
    assert models[1] == client.get("/v1/models/face_emotion_xception").json()


def test_the_description_names_the_calibration_media(tmp_path: Path, serve: Serve) -> None:
    write_artifact(tmp_path, CLASSIFIER, calibration="c0ffee")
    answer = serve(Settings(artifacts=tmp_path)).get("/v1/models/face_emotion_xception").json()
    assert answer["calibration"] == "verified on the media whose digest is c0ffee"


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_model(client: httpx.Client, method: str) -> None:
    response = client.request(method, "/v1/models/nobody", content=solid(0, 0, 0))
    assert response.status_code == 404
    assert response.json()["error"] == (
        "model 'nobody' is unknown; known: background_u2netp, face_emotion_xception, "
        "image_embedding_mobilenetv2, tiny_detector, tiny_slow, tiny_tensors"
    )


@pytest.mark.parametrize("path", ["/v1", "/health/", "/v1/voice", "/v2/models/x/y", "/v3"])
def test_an_unknown_route(client: httpx.Client, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/json"
    message = response.json()["error"]
    assert message.startswith(f"no route {path}; known: /, /api/predict, /api/predict-async, ")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/health", "GET, HEAD"),
        ("GET", "/v1/face-emotion", "POST"),
        ("DELETE", "/v1/models/face_emotion_xception", "GET, HEAD, POST"),
        ("PUT", "/v2/models/face_emotion_xception/infer", "POST"),
        ("POST", "/v2", "GET, HEAD"),
    ],
)
def test_a_wrong_method(client: httpx.Client, method: str, path: str, allowed: str) -> None:
    response = client.request(method, path)
    assert response.status_code == 405
    assert response.headers["allow"] == allowed
    assert response.json() == {"error": f"method {method} on {path}; allowed: {allowed}"}


def test_head_answers_without_a_body(client: httpx.Client) -> None:
    for path in ("/health", "/v1/models", "/v2/health/live"):
        response = client.head(path)
        assert response.status_code == 200
        assert response.content == b""


def test_no_origin_is_allowed_by_default(client: httpx.Client) -> None:
    response = client.get("/health", headers={"Origin": "https://a.example"})
    assert "access-control-allow-origin" not in response.headers


def test_cors_origins(artifacts: Path, serve: Serve) -> None:
    client = serve(Settings(artifacts=artifacts, cors_origins=("https://a.example",)))
    response = client.get("/health", headers={"Origin": "https://a.example"})
    assert response.headers["access-control-allow-origin"] == "https://a.example"
    exposed = response.headers["access-control-expose-headers"]
    assert "Inference-Header-Content-Length" in exposed
    assert "X-Model-Weights" in exposed
    other = client.get("/health", headers={"Origin": "https://b.example"})
    assert "access-control-allow-origin" not in other.headers
    preflight = {
        "Origin": "https://a.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type, inference-header-content-length",
    }
    assert client.options("/v1/face-emotion", headers=preflight).status_code == 200


def preflight_status(client: httpx.Client, headers: str) -> int:
    preflight = {
        "Origin": "https://a.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": headers,
    }
    return client.options("/v1/face-emotion", headers=preflight).status_code


def test_cors_headers(artifacts: Path, serve: Serve) -> None:
    settings = Settings(artifacts=artifacts, cors_origins=("https://a.example",))
    usual = serve(settings)
    assert preflight_status(usual, "authorization, x-requested-with, cache-control") == 200
    assert preflight_status(usual, "content-type, x-other") == 400
    special = serve(replace(settings, cors_headers=("X-Other",)))
    assert preflight_status(special, "content-type, x-other") == 200
    assert preflight_status(special, "authorization") == 400
    assert preflight_status(serve(replace(settings, cors_headers=("*",))), "x-anything") == 200


def test_a_full_queue_is_429_and_the_event_loop_stays_free(
    artifacts: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = serve(Settings(artifacts=artifacts, queue=0))
    answers: list[httpx.Response] = []
    dark = solid(2, 2, 2)
    base = str(client.base_url)
    run, go_on = Session._run, threading.Event()

    def held(session: Session, *arguments: Any) -> Any:
        assert go_on.wait(60)
        return run(session, *arguments)

    monkeypatch.setattr(Session, "_run", held)

    def ask() -> None:
        answers.append(httpx.post(f"{base}/v1/models/tiny_slow", content=dark, timeout=60))

    threads = [threading.Thread(target=ask) for _ in range(12)]
    for thread in threads:
        thread.start()
    while not answers:
        time.sleep(0.005)
    assert client.get("/health").status_code == 200
    assert {answer.status_code for answer in answers} == {429}  # the runs themselves still last
    go_on.set()
    for thread in threads:
        thread.join()
    statuses = {answer.status_code for answer in answers}
    assert statuses == {200, 429}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert int(refused.headers["retry-after"]) >= 1
    assert "allowed to wait: 0" in refused.json()["error"]
    assert client.post("/v1/face-emotion", content=dark).status_code == 200


def test_a_long_preflight_is_neither_split_nor_repeated(artifacts: Path, serve: Serve) -> None:
    settings = Settings(artifacts=artifacts, cors_origins=("*",), cors_headers=("*",))
    client = serve(settings)
    assert preflight_status(client, "x-a") == 200
    assert preflight_status(client, "a," * 2048) == 200
    preflight = {"Origin": "https://a.example", "Access-Control-Request-Method": "POST"}
    for name in ("Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"):
        response = client.options("/v2", headers={**preflight, name: "a," * 2049})
        assert response.status_code == 431
        assert response.json() == {"error": f"{name} has 4098 bytes; allowed: 4096"}
        assert len(response.headers.raw) < 10


def test_a_preflight_that_is_not_allowed_is_an_error_like_the_others(
    artifacts: Path, serve: Serve
) -> None:
    client = serve(Settings(artifacts=artifacts, cors_origins=("https://a.example",)))
    headers = {"Origin": "https://b.example", "Access-Control-Request-Method": "PUT"}
    response = client.options("/v2", headers=headers)
    assert response.status_code == 400
    assert response.json() == {"error": "Disallowed CORS origin, method"}
    assert "access-control-allow-methods" in response.headers


def test_threads_switch_sooner_while_the_server_runs(artifacts: Path) -> None:
    before_s = sys.getswitchinterval()
    with running(Settings(artifacts=artifacts)):
        assert sys.getswitchinterval() == pytest.approx(0.001)
    assert sys.getswitchinterval() == before_s
