"""Requests made from /openapi.json, well-formed and not, get answers that it documents.

schemathesis makes the requests; their files are real ones, so that models run too.
"""

import base64
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from schemathesis.core.failures import FailureGroup
from schemathesis.schemas import BaseSchema

from serve.openapi.operation import Key
from serve.openapi.operations.table import OPERATIONS
from serve.settings import Settings
from tests.runtime.support.recordings import shades, sound, tone, video
from tests.serve.support.server import running
from tests.support.artifacts import write_every_task
from tests.support.images import solid

KEY = "fuzz"
REQUESTS = {GenerationMode.POSITIVE: 10, GenerationMode.NEGATIVE: 8}  # of each operation
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# a model that is unloaded is missing in all requests that follow
LEFT_OUT: frozenset[Key] = frozenset({("POST", "/v2/repository/models/{model}/unload")})


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaseSchema]:
    """Serve small models; return the document as schemathesis reads it."""
    root = write_every_task(tmp_path_factory.mktemp("artifacts"))
    files = [
        solid(0, 255, 0), solid(9, 9, 9)[:60], b"no media", b"",
        sound(tone(seconds=1.5)), video(shades([50] * 4), tmp_path_factory.mktemp("clip")),
    ]  # fmt: skip
    binary = st.sampled_from(files)
    schemathesis.openapi.format("binary", binary)
    schemathesis.openapi.media_type("application/octet-stream", binary)
    schemathesis.openapi.format("byte", binary.map(lambda data: base64.b64encode(data).decode()))
    settings = Settings(
        artifacts=root, face_detector_model="tiny_detector", admin_key=KEY, queue_s=60
    )
    with running(settings) as client:
        document = client.get("/openapi.json").json()
        name_models(document, [path.name for path in root.iterdir()])
        schema = schemathesis.openapi.from_dict(document)
        schema.config.update(base_url=str(client.base_url))
        yield schema


def name_models(document: Mapping[str, Any], ids: list[str]) -> None:
    """Let requests name models that are served, one that is not, and the version 1."""
    values = {"model": [*ids, "nobody"], "version": ["1", "2"]}
    for operations in document["paths"].values():
        for operation in operations.values():
            for parameter in operation["parameters"]:
                if parameter["in"] == "path" and parameter["name"] in values:
                    parameter["schema"]["enum"] = values[parameter["name"]]


def check_answer(case: Any) -> None:
    """Send a request; its answer is one of those documented, and no fault of the server."""
    response = case.call(headers={"Authorization": f"Bearer {KEY}"}, timeout=60)
    assert response.status_code < 500 or response.status_code == 503, response.text
    try:
        case.validate_response(response, checks=CHECKS)
    except FailureGroup as group:
        raise AssertionError("\n".join(str(failure) for failure in group.exceptions)) from None


@pytest.mark.parametrize(
    ("key", "mode"),
    [
        pytest.param(key, mode, id=f"{' '.join(key)} {mode.value}")
        for key, operation in OPERATIONS.items()
        for mode in REQUESTS
        if key not in LEFT_OUT and (mode.is_positive or operation.forms or operation.body)
    ],
)
def test_every_answer_is_documented(api: BaseSchema, key: Key, mode: GenerationMode) -> None:
    method, path = key
    strategy = api[path][method].as_strategy(generation_mode=mode)
    run = given(case=strategy)(check_answer)
    examples(
        max_examples=REQUESTS[mode],
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )(run)()
