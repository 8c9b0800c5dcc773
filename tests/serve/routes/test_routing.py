"""Routes are changed, shown and compared over HTTP; every kind of answer names its version."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from serve.commands.ab import main as ab
from serve.routes.experiments import merge
from serve.settings import Settings
from tests.serve.support.server import running
from tests.support.artifacts import CLASSIFIER, EMBEDDING, steeper, write_artifact
from tests.support.images import png

MODEL, KEY = "face_emotion_xception", "secret"
ADMIN = {"Authorization": f"Bearer {KEY}"}
PICTURE = png(np.full((8, 8, 3), 90, np.uint8))
PATH, INFER = f"/v1/models/{MODEL}", f"/v2/models/{MODEL}"
TENSOR = {
    "inputs": [{"name": "image", "shape": [1, 8, 8, 1], "datatype": "UINT8", "data": [90] * 64}]
}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("versions")
    write_artifact(root, EMBEDDING)
    for number in (1, 2):
        write_artifact(root, CLASSIFIER, version=number, data=steeper(4 * number))
    return root


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[httpx.Client]:
    with running(Settings(artifacts=root, admin_key=KEY)) as client:
        yield client


@pytest.fixture
def client(server: httpx.Client, root: Path) -> httpx.Client:
    """Return the client of a server whose versions are 1 and, as the candidate, 2."""
    route = server.get("/v1/routing").json()["models"][MODEL]
    if route["default"]["version"] != 1:
        change(server, "default", version=1)
    change(server, "candidate", version=2, share=0.5)
    return server


def change(client: httpx.Client, command: str, status: int = 200, **fields: Any) -> Any:
    content = {"model": MODEL, "command": command, **fields}
    response = client.post("/v1/routing", json=content, headers=ADMIN)
    assert response.status_code == status, response.text
    return response.json()


def keys(client: httpx.Client) -> dict[int, str]:
    """Return a key for each version."""
    found: dict[int, str] = {}
    for number in range(100):
        response = client.post(PATH, content=PICTURE, headers={"X-Route-Key": f"user {number}"})
        found[response.json()["version"]] = f"user {number}"
        if len(found) == 2:
            return found
    pytest.fail("one version answers everybody")


def test_every_kind_of_answer_is_of_the_version_of_its_key(client: httpx.Client) -> None:
    for version, key in keys(client).items():
        headers = {"X-Route-Key": key}
        for _ in range(2):
            response = client.post(PATH, content=PICTURE, headers=headers)
            assert response.headers["X-Model-Version"] == str(version)
            files = [("image", ("a", PICTURE)), ("image", ("b", PICTURE))]
            response = client.post(PATH, files=files, headers=headers)
            assert [one["version"] for one in response.json()["results"]] == [version] * 2
            response = client.post("/v1/face-emotion", content=PICTURE, headers=headers)
            assert response.json()["version"] == version
            response = client.post(f"{INFER}/infer", json=TENSOR, headers=headers)
            assert response.json()["model_version"] == str(version)
            wants_job = {**headers, "Prefer": "respond-async"}
            job = client.post(PATH, content=PICTURE, headers=wants_job).headers["Location"]
            while (response := client.get(f"{job}/result")).status_code == 409:
                pass
            assert response.json()["version"] == version


def test_the_protocol_serves_both_versions_by_number(client: httpx.Client) -> None:
    assert client.get(INFER).json()["versions"] == ["1", "2"]
    for version in ("1", "2"):
        path = f"{INFER}/versions/{version}"
        assert client.get(f"{path}/ready").status_code == 200
        assert client.get(path).headers["X-Model-Version"] == version
        answer = client.post(f"{path}/infer", json=TENSOR).json()
        assert answer["model_version"] == version
    response = client.post(f"{INFER}/versions/3/infer", json=TENSOR)
    assert response.status_code == 404
    assert response.json()["error"].endswith("is not served; served: 1, 2")
    index = client.post("/v2/repository/index").json()
    assert [e["version"] for e in index if e["name"] == MODEL] == ["1", "2"]


def test_a_change_is_answered_when_it_is_in_effect(client: httpx.Client) -> None:
    assert change(client, "promote")["default"] == {"version": 2, "state": "ready"}
    assert client.post(PATH, content=PICTURE).json()["version"] == 2
    route = change(client, "rollback")
    assert (route["default"]["version"], route["previous"]) == (1, 2)
    described = client.get(PATH).json()
    assert (described["version"], described["routing"]["previous"]) == (1, 2)
    shown = client.get("/v1/routing").json()
    assert shown["problem"] is None
    assert shown["models"][MODEL] == {k: v for k, v in route.items() if k != "model"}


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        ({"model": MODEL, "command": "default", "version": 9}, 409, "no complete version 9"),
        ({"model": MODEL, "command": "default"}, 409, "default needs a version"),
        ({"model": MODEL, "command": "promote", "share": 1}, 409, "promote takes no share"),
        ({"model": MODEL, "command": "fly"}, 409, "command is 'fly'; allowed: default"),
        ({"model": MODEL}, 400, "request.command is missing"),
        ({"model": "x", "command": "promote"}, 404, "model 'x' is unknown"),
        ([], 400, "the request is a list; allowed: an object"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(
    client: httpx.Client, content: Any, status: int, reason: str
) -> None:
    response = client.post("/v1/routing", json=content, headers=ADMIN)
    error = response.json()["error"]
    assert (response.status_code, reason in error) == (status, True)
    assert error.startswith("request.") == (reason == "request.command is missing")
    assert "/tmp" not in error and "pytest" not in error  # noqa: PT018 - where the server has them


def test_only_the_administrator_changes(client: httpx.Client) -> None:
    for path in ("/v1/routing", "/v1/routing/reload", "/v1/outcomes"):
        for headers in ({}, {"Authorization": "Bearer no"}):
            assert client.post(path, json={}, headers=headers).status_code == 403
    assert client.post("/v1/routing/reload", headers=ADMIN).status_code == 200


def test_answers_are_counted_and_compared(
    client: httpx.Client, capsys: pytest.CaptureFixture[str]
) -> None:
    change(client, "candidate", version=2, share=0.25)  # the counts begin anew
    for version, key in keys(client).items():
        for _ in range(30):
            client.post(PATH, content=PICTURE, headers={"X-Route-Key": key})
        client.post(PATH, content=b"no picture", headers={"X-Route-Key": key})
        client.post(f"{INFER}/versions/{version}/infer", json=TENSOR)
        report = {"model": MODEL, "version": version, "correct": 10 * version, "wrong": 9}
        assert client.post("/v1/outcomes", json=report, headers=ADMIN).status_code == 200
    entry = client.get("/v1/ab").json()["models"][MODEL]
    assert (entry["default"], entry["candidate"], entry["share"]) == (1, 2, 0.25)
    for number, one in entry["versions"].items():
        assert one["answers"] >= 31
        assert one["classified"] == one["answers"] - 1  # tensors have no top class
        assert one["errors"] == 0  # the picture was the client's fault
        assert sum(one["labels"].values()) == one["classified"]
        assert sum(one["bins"]) == one["answers"]
        assert (one["correct"], one["wrong"]) == (10 * int(number), 9)
    url = str(client.base_url)
    assert ab([url, "--minimum", "20"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{MODEL}: version 1 and candidate 2, which has 25.0000%")
    assert "undecided (too few cases)" in text  # no errors
    assert ab([url, "--minimum", "20", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert {c["name"]: c["verdict"] for c in content["comparisons"]}["correct"] == "undecided"
    report = {"model": MODEL, "version": 2, "correct": 500, "wrong": 0}
    client.post("/v1/outcomes", json=report, headers=ADMIN)
    report = {"model": MODEL, "version": 1, "correct": 300, "wrong": 200}
    client.post("/v1/outcomes", json=report, headers=ADMIN)
    assert ab([url, "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert {c["name"]: c["verdict"] for c in content["comparisons"]}["correct"] == "better"
    change(client, "drop")
    assert ab([url]) == 1
    assert "no model has a candidate" in capsys.readouterr().err


def test_the_protocol_counts_each_version(client: httpx.Client) -> None:
    def rows(path: str) -> dict[str, int]:
        entries = client.get(f"{path}/stats").json()["model_stats"]
        named = (entry for entry in entries if entry["name"] == MODEL)
        return {entry["version"]: entry["inference_count"] for entry in named}

    before = rows(INFER)
    for version, requests in (("1", 2), ("2", 3)):
        for _ in range(requests):
            client.post(f"{INFER}/versions/{version}/infer", json=TENSOR).raise_for_status()
    after = rows(INFER)
    assert after == {"1": before["1"] + 2, "2": before["2"] + 3}
    assert [rows(f"{INFER}/versions/{version}") for version in after] == [
        {"1": after["1"]},
        {"2": after["2"]},
    ]
    assert rows("/v2/models") == after
    entries = client.get(f"{INFER}/stats").json()["model_stats"]
    kept_bytes = client.get("/v1/memory").json()["models"][MODEL]["cost"]["kept_bytes"]
    assert kept_bytes in [entry["memory_usage"][0]["byte_size"] for entry in entries]
    refused = client.get(f"{INFER}/versions/3/stats")
    assert (refused.status_code, refused.json()["error"]) == (
        404,
        f"version '3' of model {MODEL!r} is not served; served: 1, 2",
    )


@pytest.mark.parametrize(
    "report",
    [
        {"model": MODEL, "version": 3, "correct": 1},
        {"model": MODEL, "version": 1, "correct": -1},
        {"model": MODEL, "version": 1, "correct": 10**12},
        {"model": MODEL, "version": "1"},
        {"version": 1},
    ],
)
def test_outcomes_that_cannot_be_are_refused(client: httpx.Client, report: Any) -> None:
    assert client.post("/v1/outcomes", json=report, headers=ADMIN).status_code == 400


def test_counts_of_workers_are_added(client: httpx.Client) -> None:
    client.post(PATH, content=PICTURE)
    one = client.get("/v1/ab").json()
    both = merge([one, one])
    assert both["processes"] == 2 * one["processes"]
    for number, counts in both["models"][MODEL]["versions"].items():
        alone = one["models"][MODEL]["versions"][number]
        assert counts["answers"] == 2 * alone["answers"]
        assert counts["bins"] == [2 * value for value in alone["bins"]]
        assert counts["labels"] == {name: 2 * n for name, n in alone["labels"].items()}


def test_who_does_not_answer_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert ab(["http://127.0.0.1:9"]) == 1
    assert "does not answer as expected" in capsys.readouterr().err
