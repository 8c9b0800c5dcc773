"""The responses to exceptions."""

import asyncio
import time
from pathlib import Path

import pytest
from starlette.exceptions import HTTPException
from starlette.requests import Request

from runtime.errors import (
    ArtifactError,
    DecodeError,
    InputError,
    SlipwayError,
    TooLargeError,
    UnavailableError,
)
from runtime.tasks import background
from serve.errors import (
    EXCEPTION_HANDLERS,
    STATUS,
    NotFoundError,
    OverloadedError,
    RequestTimeoutError,
    UnsupportedMediaError,
    answer_http_exception,
)
from serve.settings import Settings
from tests.serve.conftest import Serve
from tests.support.artifacts import CLASSIFIER, write_artifact
from tests.support.images import solid


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InputError, 400),
        (DecodeError, 400),
        (TooLargeError, 413),
        (NotFoundError, 404),
        (RequestTimeoutError, 408),
        (UnsupportedMediaError, 415),
        (OverloadedError, 429),
        (UnavailableError, 503),
        (ArtifactError, None),
    ],
)
def test_each_error_has_the_status_of_its_most_specific_class(
    error: type[SlipwayError], status: int | None
) -> None:
    code_of_error = next((code for kind, code in STATUS.items() if issubclass(error, kind)), None)
    assert code_of_error == status


def test_errors_of_starlette_have_the_form_of_the_others() -> None:
    assert EXCEPTION_HANDLERS[HTTPException] is answer_http_exception
    request, error = Request({"type": "http"}), HTTPException(418, "no coffee", {"X-Pot": "tea"})
    response = asyncio.run(answer_http_exception(request, error))
    assert (response.status_code, response.body) == (418, b'{"error":"no coffee"}')
    assert response.headers["x-pot"] == "tea"


def test_an_unexpected_error_is_500_without_details(
    tmp_path: Path,
    serve: Serve,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_artifact(tmp_path, CLASSIFIER)

    def fail(*_: object) -> None:
        raise RuntimeError("made for the test")

    monkeypatch.setattr(background, "background", fail)
    client = serve(Settings(artifacts=tmp_path))
    response = client.post("/v1/background", content=solid(0, 0, 0))
    assert response.status_code == 500
    assert response.headers["content-type"] == "application/json"
    assert response.json() == {"error": "internal error"}
    for _ in range(200):  # the log is written after the answer
        if "made for the test" in caplog.text:
            break
        time.sleep(0.01)
    assert "made for the test" in caplog.text
    assert client.post("/v1/face-emotion", content=solid(0, 0, 0)).status_code == 200
