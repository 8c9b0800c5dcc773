"""The parameter `timeout` of an infer request, in microseconds."""

from typing import Any

import orjson
import pytest

from runtime.errors import InputError
from serve.protocol_v2.timeout import MOST_BYTES, body_timeout, parse_timeout


def body(parameters: Any, padding: str = "") -> bytes:
    return orjson.dumps({"parameters": parameters, "inputs": [padding]})


def test_microseconds_become_seconds() -> None:
    assert body_timeout(body({"timeout": 2_500_000}), None) == 2.5
    assert body_timeout(body({"timeout": 0}), None) is None
    assert body_timeout(body({}), None) is None


def test_the_header_tells_where_the_json_ends() -> None:
    head = body({"timeout": 1_000_000})
    assert body_timeout(head + b"\xff" * 1000, str(len(head))) == 1.0
    assert body_timeout(head, "0") is None
    assert body_timeout(head, "nonsense") is None
    assert body_timeout(head, str(len(head) + 1)) is None


@pytest.mark.parametrize("timeout", ["5", 1.5, True, -1, None, [1], 10**30])
def test_an_ill_formed_timeout_is_refused_by_the_parser_alone(timeout: Any) -> None:
    try:
        data = body({"timeout": timeout})
    except TypeError:  # 10**30: no JSON of orjson
        data = b'{"parameters": {"timeout": 1000000000000000000000000000000}, "inputs": []}'
    assert body_timeout(data, None) is None
    if timeout != 10**30:
        with pytest.raises(InputError, match="allowed: microseconds"):
            parse_timeout({"timeout": timeout})


@pytest.mark.parametrize(
    "data",
    [b"", b'"timeout"', b'["timeout"]', b'{"timeout": 5}', body(["timeout"]), body("timeout")],
)
def test_a_body_that_is_no_request_says_nothing(data: bytes) -> None:
    assert body_timeout(data, None) is None


def test_much_json_is_not_parsed_on_the_event_loop() -> None:
    small, large = (body({"timeout": 10**6}, " " * size) for size in (100, MOST_BYTES))
    assert body_timeout(small, None) == 1.0
    assert body_timeout(large, None) is None
