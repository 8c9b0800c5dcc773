"""Asynchronous requests over HTTP on a real server."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from serve.settings import Settings
from tests.runtime.support.recordings import shades, sound, tone, video
from tests.serve.jobs.support import ASYNC, accepted, ended, submit, until, wait_until_gone
from tests.serve.support.server import running
from tests.support.artifacts import (
    CLASSIFIER,
    EMBEDDING,
    GAIT,
    SEGMENTATION,
    SLOW,
    VOICE,
    write_artifact,
)
from tests.support.images import half_white, png, solid

FACE, SLOW_PATH = "/v1/models/face_emotion_xception", "/v1/models/tiny_slow"
BRIGHT, DARK = solid(255, 255, 255), solid(0, 0, 0)  # in tiny_slow: about a second, and no time
OTHER_PROCESS = f"{'0' * 12}-{'1' * 48}"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("artifacts")
    for graph in (CLASSIFIER, EMBEDDING, GAIT, SEGMENTATION, SLOW, VOICE):
        write_artifact(root, graph)
    return root


@pytest.fixture(scope="module")
def client(root: Path) -> Iterator[httpx.Client]:
    with running(Settings(artifacts=root)) as client:
        yield client


def same_answer(asynchronous: httpx.Response, synchronous: httpx.Response) -> None:
    assert asynchronous.status_code == synchronous.status_code
    assert asynchronous.content == synchronous.content
    varying = {"x-request-id", "date", "server-timing", "x-cache", "age"}
    assert {n: v for n, v in asynchronous.headers.items() if n not in varying} == {
        n: v for n, v in synchronous.headers.items() if n not in varying
    }


def test_every_task_route_answers_later_what_it_answers_at_once(
    client: httpx.Client, tmp_path: Path
) -> None:
    image, clip = png(half_white()), video(shades([50] * 30), tmp_path)
    requests = {
        FACE: [("image", image)],
        "/v1/face-emotion": [("image", image)],
        "/api/predict": [("image", image)],
        "/v1/voice-emotion": [("audio", sound(tone(seconds=2)))],
        "/v1/gait": [("video", clip)],
        "/predict": [("video", clip)],
        "/v1/similarity": [("image_a", image), ("image_b", BRIGHT)],
        "/v1/background": [("image", image)],
        "/api/remove-background": [("image", image)],
    }
    for path, files in requests.items():
        synchronous = client.post(path, files=files)
        assert synchronous.status_code == 200, synchronous.text
        response = client.post(path, files=files, headers=ASYNC)
        assert response.headers["preference-applied"] == "respond-async"
        location = accepted(response)
        job = ended(client, location)
        assert job["state"] == "done", job
        result = client.get(job["result"])
        same_answer(result, synchronous)
        assert re.search(r"run;dur=[0-9.]+", result.headers["server-timing"])
        same_answer(client.get(job["result"]), synchronous)  # also a second time
    no_tasks = ("/v1/memory/clear", "/v1/routing", "/v1/routing/reload", "/v1/outcomes")
    assert set(requests) == {
        path
        for path in openly_posted(client)
        if path not in ("/v1/models/{model}", "/api/predict-async", *no_tasks)
    } | {FACE}


def openly_posted(client: httpx.Client) -> set[str]:
    """Return the routes of tasks that take POST, from the list in a 404."""
    paths = client.get("/nothing").json()["error"].partition("known: ")[2].split(", ")
    return {
        path
        for path in paths
        if not path.startswith("/v2") and "POST" in client.put(path).headers.get("allow", "")
    }


def test_the_path_of_earlier_deployments_is_asynchronous_without_a_preference(
    client: httpx.Client,
) -> None:
    image = png(half_white())
    location = accepted(client.post("/api/predict-async", content=image))
    job = ended(client, location)
    same_answer(client.get(job["result"]), client.post("/api/predict", content=image))


@pytest.mark.parametrize(
    ("preference", "status"),
    [
        ("respond-async", 202),
        ("Respond-Async; x=1, wait=10", 202),
        ("return=minimal, respond-async", 202),
        ('foo="respond-async, a"', 200),
        ("respond-async-now", 200),
        ("wait=10", 200),
        ("respond-async," * 100, 200),
    ],
)
def test_the_preference_is_read_as_rfc_7240_writes_it(
    client: httpx.Client, preference: str, status: int
) -> None:
    response = client.post(FACE, content=DARK, headers={"Prefer": preference})
    assert response.status_code == status


def test_a_failed_job_has_the_error_and_its_status(client: httpx.Client) -> None:
    synchronous = client.post(FACE, content=b"no picture")
    job = ended(client, accepted(submit(client, FACE, b"no picture")))
    assert job["state"] == "failed"
    assert job["status"] == 400
    assert job["error"] == synchronous.json()["error"]
    same_answer(client.get(job["result"]), synchronous)


def test_a_job_is_running_until_it_is_done_and_its_result_is_409_meanwhile(
    client: httpx.Client,
) -> None:
    location = accepted(submit(client, SLOW_PATH, BRIGHT))
    job = until(client, location, "running")
    early = client.get(job["result"])
    assert early.status_code == 409
    assert "the job is running" in early.json()["error"]
    assert int(early.headers["retry-after"]) >= 1
    assert ended(client, location)["state"] == "done"
    assert client.get(job["result"]).json()["result"]["label"] == "bright"


def test_a_deleted_job_is_gone_whether_it_waits_runs_or_ended(client: httpx.Client) -> None:
    locations = [accepted(submit(client, SLOW_PATH, BRIGHT)) for _ in range(6)]
    running_job, waiting_job = locations[0], locations[-1]
    until(client, running_job, "running")
    assert client.get(waiting_job).json()["state"] == "queued"
    for location in [*locations, accepted(submit(client, FACE, DARK))]:
        response = client.delete(location)
        assert (response.status_code, response.content) == (204, b"")
        for gone in (
            client.get(location), client.get(f"{location}/result"), client.delete(location)
        ):  # fmt: skip
            assert gone.status_code == 410
            assert "was deleted" in gone.json()["error"]
    # what they would have computed takes six seconds of CPU time
    assert ended(client, accepted(submit(client, SLOW_PATH, DARK)))["state"] == "done"


def test_an_unknown_job_is_404_and_one_of_another_process_410(client: httpx.Client) -> None:
    ours = accepted(submit(client, FACE, DARK)).rpartition("/")[2]
    forged = ours[:-1] + ("0" if ours[-1] != "0" else "1")
    for job_id in ("1", "x" * 61, forged, "%00", "a" * 5000):
        response = client.get(f"/v1/jobs/{job_id}")
        assert response.status_code == 404
        assert len(response.text) < 300
    for path in (f"/v1/jobs/{OTHER_PROCESS}", f"/v1/jobs/{OTHER_PROCESS}/result"):
        response = client.get(path)
        assert response.status_code == 410
        assert "another process" in response.json()["error"]


def test_the_same_key_gets_the_same_job_and_no_second_run(client: httpx.Client) -> None:
    key = {"Idempotency-Key": '"4d1f-1"'}
    first = accepted(submit(client, FACE, DARK, key))
    ended(client, first)
    assert accepted(submit(client, FACE, DARK, key)) == first
    assert accepted(submit(client, FACE, DARK, {"Idempotency-Key": "4d1f-1"})) == first
    assert accepted(submit(client, FACE, DARK)) != first
    for path, body in ((FACE, BRIGHT), ("/v1/face-emotion", DARK), (f"{FACE}?top=1", DARK)):
        response = submit(client, path, body, key)
        assert response.status_code == 422
        assert "belongs to a job with another request" in response.json()["error"]
    client.delete(first)
    assert accepted(submit(client, FACE, BRIGHT, key)) != first  # the key is free again


def test_a_form_that_is_written_again_is_the_same_request(client: httpx.Client) -> None:
    headers = {**ASYNC, "Idempotency-Key": "form-1"}
    locations = [
        accepted(client.post(FACE, files={"image": DARK}, headers=headers)) for _ in range(2)
    ]
    assert locations[0] == locations[1]
    other = client.post(FACE, files={"image": BRIGHT}, headers=headers)
    assert other.status_code == 422


@pytest.mark.parametrize("key", ["", '""', "a b", "a" * 256, "ä".encode("latin-1")])
def test_an_ill_formed_key_is_refused(client: httpx.Client, key: str | bytes) -> None:
    name = "Idempotency-Key"
    value = key if isinstance(key, bytes) else key.encode()
    headers = [(b"Prefer", b"respond-async"), (name.encode(), value)]
    response = client.post(FACE, content=DARK, headers=headers)
    assert response.status_code == 400
    assert f"{name} is" in response.json()["error"]


def test_the_bounds_of_the_queue_are_not_those_of_jobs(root: Path) -> None:
    with running(Settings(artifacts=root, queue=0, queue_s=0)) as client:
        locations = [accepted(submit(client, SLOW_PATH, BRIGHT)) for _ in range(5)]
        assert {ended(client, location)["state"] for location in locations} == {"done"}


def test_without_jobs_the_preference_is_ignored(root: Path) -> None:
    with running(Settings(artifacts=root, jobs=0)) as client:
        response = submit(client, FACE, DARK)
        assert response.status_code == 200
        assert "preference-applied" not in response.headers


def test_one_client_may_have_as_many_jobs_as_are_free(root: Path) -> None:
    with running(Settings(artifacts=root, jobs=8)) as client:
        locations = [accepted(submit(client, FACE, DARK)) for _ in range(4)]
        refused = submit(client, FACE, DARK)
        assert refused.status_code == 429
        assert "4 of this client" in refused.json()["error"]
        assert int(refused.headers["retry-after"]) > 0
        job = ended(client, locations[2])
        client.get(job["result"])  # an answer that was fetched gives way
        accepted(submit(client, FACE, DARK))
        assert client.get(locations[2]).status_code == 410
        assert client.get(locations[0]).status_code == 200


def test_a_job_that_does_not_end_in_time_fails(root: Path) -> None:
    with running(Settings(artifacts=root, job_timeout_s=1)) as client:
        files = [("image", BRIGHT)] * 8  # about eight seconds
        response = client.post(SLOW_PATH, files=files, headers=ASYNC)
        job = ended(client, accepted(response))
        assert (job["state"], job["status"]) == ("failed", 503)
        assert job["error"] == "the job did not end within 1 s (SLIPWAY_JOB_TIMEOUT)"
        assert ended(client, accepted(submit(client, SLOW_PATH, DARK)))["state"] == "done"


def test_a_job_that_does_not_start_in_the_time_of_its_client_fails(client: httpx.Client) -> None:
    locations = [accepted(submit(client, SLOW_PATH, BRIGHT)) for _ in range(6)]
    response = submit(client, SLOW_PATH, DARK, {"X-Request-Timeout": "0.1"})
    job = ended(client, accepted(response))
    assert (job["state"], job["status"]) == ("failed", 503)
    assert re.match(r"the request waited 0\.[01]\d* s and did not start", job["error"])
    for location in locations:
        client.delete(location)


def test_an_answer_expires(root: Path) -> None:
    with running(Settings(artifacts=root, job_ttl_s=1)) as client:
        location = accepted(submit(client, FACE, DARK))
        assert ended(client, location)["state"] == "done"
        response = wait_until_gone(client, location)
        assert "expired" in response.json()["error"]


def test_the_location_has_the_base_path(root: Path) -> None:
    with running(Settings(artifacts=root, base_path="/emotion")) as client:
        location = accepted(submit(client, f"/emotion{FACE}", DARK))
        assert location.startswith("/emotion/v1/jobs/")
        job = ended(client, location)
        assert client.get(job["result"]).status_code == 200


def test_a_job_takes_longer_clips_than_others(root: Path, tmp_path: Path) -> None:
    clip = video(shades([50] * 60), tmp_path)  # two seconds
    with running(Settings(artifacts=root, max_video_s=1, job_media_s=10)) as client:
        assert client.post("/v1/gait", content=clip).status_code == 413
        job = ended(client, accepted(submit(client, "/v1/gait", clip)))
        assert job["state"] == "done", job
