"""Jobs over HTTP: submit one, wait for its end."""

import time
from collections.abc import Mapping
from typing import Any

import httpx

TIMEOUT_S = 60  # a broken server fails a test after this instead of hanging it
ASYNC = {"Prefer": "respond-async"}


def submit(
    client: httpx.Client, path: str, body: bytes, headers: Mapping[str, str] | None = None
) -> httpx.Response:
    """POST a request whose client does not wait."""
    return client.post(path, content=body, headers={**ASYNC, **(headers or {})})


def accepted(response: httpx.Response) -> str:
    """Return the address of the job of a 202."""
    assert response.status_code == 202, response.text
    location: str = response.headers["location"]
    assert location.endswith(f"/v1/jobs/{response.json()['id']}")
    return location


def ended(client: httpx.Client, location: str) -> dict[str, Any]:
    """Wait until a job is done or failed, and return what its address tells."""
    return until(client, location, "done", "failed")


def until(client: httpx.Client, location: str, *states: str) -> dict[str, Any]:
    """Wait until a job is in one of these states."""
    end_s = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end_s:
        response = client.get(location)
        assert response.status_code == 200, response.text
        content: dict[str, Any] = response.json()
        if content["state"] in states:
            return content
        assert 1 <= int(response.headers["retry-after"]) <= 5
        time.sleep(0.01)
    raise AssertionError(f"{location} is {content['state']} after {TIMEOUT_S} s")


def wait_until_gone(client: httpx.Client, location: str) -> httpx.Response:
    """Wait until a job is not stored any more, and return the 410."""
    end_s = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end_s:
        response = client.get(location)
        if response.status_code == 410:
            return response
        time.sleep(0.01)
    raise AssertionError(f"{location} is still there after {TIMEOUT_S} s")
