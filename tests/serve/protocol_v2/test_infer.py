from typing import Any

import numpy as np
import orjson
import pytest

from runtime.artifact.manifest import Spec, TensorSpec
from runtime.errors import InputError, TooLargeError
from serve.protocol_v2.request import InferRequest, RequestedOutput, parse_request

SPEC = Spec(
    schema_version=1,
    id="tiny",
    task="image-classification",
    description="",
    labels=(),
    inputs=(TensorSpec("values", "float32", ("N", 2)), TensorSpec("counts", "int64", ("N", 2))),
    outputs=(
        TensorSpec("quotients", "float32", ("N", 2)),
        TensorSpec("doubled", "int64", ("N", 2)),
    ),
    preprocess=(),
    licence="Apache-2.0",
)
VALUES = {"name": "values", "shape": [1, 2], "datatype": "FP32", "data": [1.5, 2]}
COUNTS = {"name": "counts", "shape": [1, 2], "datatype": "INT64", "data": [3, 4]}
RAW_COUNTS = np.array([[3, 4]], "<i8").tobytes()


def parse(content: Any, tail: bytes | None = None) -> InferRequest:
    head = orjson.dumps(content)
    if tail is None:
        return parse_request(head, None, SPEC)
    return parse_request(head + tail, str(len(head)), SPEC)


def request(**changes: Any) -> dict[str, Any]:
    return {"inputs": [VALUES, COUNTS], **changes}


def binary(entry: dict[str, Any], size: Any) -> dict[str, Any]:
    fields = {name: value for name, value in entry.items() if name != "data"}
    return {**fields, "parameters": {"binary_data_size": size}}


def test_json_inputs_and_default_outputs() -> None:
    parsed = parse({**request(id="42"), "model_name": "ignored", "model_version": "9"})
    assert parsed.id == "42"
    assert parsed.feeds["values"].tolist() == [[1.5, 2.0]]
    assert parsed.feeds["counts"].tolist() == [[3, 4]]
    assert parsed.outputs == (
        RequestedOutput("quotients", False),
        RequestedOutput("doubled", False),
    )


def test_json_and_binary_inputs_mix() -> None:
    parsed = parse({"inputs": [binary(COUNTS, 16), VALUES]}, RAW_COUNTS)
    assert parsed.feeds["counts"].tolist() == [[3, 4]]
    assert parsed.feeds["values"].tolist() == [[1.5, 2.0]]


def test_binary_inputs_are_read_in_the_order_of_the_request() -> None:
    values = np.array([[1, 2]], "<f4").tobytes()
    parsed = parse({"inputs": [binary(COUNTS, 16), binary(VALUES, 8)]}, RAW_COUNTS + values)
    assert parsed.feeds["values"].tolist() == [[1, 2]]


def test_outputs_keep_the_requested_order_and_override_the_request() -> None:
    entries = [{"name": "doubled", "parameters": {"binary_data": False}}, {"name": "quotients"}]
    parsed = parse(request(outputs=entries, parameters={"binary_data_output": True}))
    assert parsed.outputs == (RequestedOutput("doubled", False), RequestedOutput("quotients", True))


def test_unknown_parameters_are_ignored() -> None:
    parameters = {"timeout": 5, "priority": 1, "sequence_id": "a", "mine": 1.5}
    assert parse(request(parameters=parameters)).feeds.keys() == {"values", "counts"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "the request is a list; allowed: an object"),
        ({}, "inputs is null; allowed: a list of objects"),
        (request(inputs={}), "inputs is an object; allowed: a list of objects"),
        (request(inputs=[VALUES, 5]), r"inputs\[1\] is a number; allowed: an object"),
        (request(inputs=[]), "input 'values' is missing; tiny takes values, counts"),
        (request(inputs=[VALUES]), "input 'counts' is missing"),
        (request(inputs=[VALUES, COUNTS, VALUES]), "input 'values' is given twice"),
        (request(inputs=[{**VALUES, "name": "x"}]), "input 'x' is unknown; known: values, counts"),
        (request(inputs=[{**VALUES, "name": None}]), "input None is unknown"),
        (request(inputs=[{**VALUES, "datatype": "FP64"}]), "'values' has datatype 'FP64'"),
        (
            request(inputs=[{**VALUES, "shape": [2]}]),
            r"'values' has shape \[2\]; allowed: \[-1, 2\]",
        ),
        (request(inputs=[{**VALUES, "data": None}]), "'values' has data that is not a list"),
        (request(inputs=[binary(VALUES, None)]), "'values' has neither of data and"),
        (request(inputs=[{**binary(VALUES, 8), "data": [1, 2]}]), "'values' has both of data and"),
        (
            request(inputs=[VALUES, {**COUNTS, "shape": [2, 2], "data": [1] * 4}]),
            "'counts' has size 2 on axis N; allowed: 1, as input 'values' has",
        ),
        (request(inputs=[{**VALUES, "parameters": 5}]), "parameters of input 'values' is a number"),
        (
            request(inputs=[{**VALUES, "parameters": {"shared_memory_region": "r"}}]),
            "input 'values' has the parameter 'shared_memory_region'; shared memory is not offered",
        ),
        (request(outputs=[{"name": "x"}]), "output 'x' is unknown; known: quotients, doubled"),
        (request(outputs=[{"name": "doubled"}] * 2), "output 'doubled' is given twice"),
        (request(outputs="doubled"), "outputs is a string; allowed: a list"),
        (
            request(outputs=[{"name": "doubled", "parameters": {"classification": 0}}]),
            "classification of output 'doubled' is 0; allowed: an integer >= 1",
        ),
        (
            request(parameters={"triton_enable_empty_final_response": True}),
            "the request has the parameter 'triton_enable_empty_final_response'; names that begin",
        ),
        (
            request(outputs=[{"name": "doubled", "parameters": {"binary_data": 1}}]),
            "binary_data of output 'doubled' is 1; allowed: true or false",
        ),
        (request(parameters={"binary_data_output": "yes"}), "binary_data_output of the request"),
        (request(id=42), "id is 42; allowed: a string"),
    ],
)
def test_invalid_requests_are_refused(content: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse(content)


@pytest.mark.parametrize("size", [15, 17, 0, -16, "16", 16.0, True, 2**70])
def test_a_binary_size_must_fit_the_shape(size: Any) -> None:
    message = "'counts' has binary_data_size .*; allowed: 16, as its shape"
    if size == 2**70:
        message = "'counts' has binary_data_size .*; allowed: 16|the request is not JSON"
        size = float(size)
    with pytest.raises(InputError, match=message):
        parse({"inputs": [VALUES, binary(COUNTS, size)]}, RAW_COUNTS)


def test_truncated_and_extra_bytes() -> None:
    with pytest.raises(InputError, match="'counts' has 16 bytes; the body holds 15 for it"):
        parse({"inputs": [VALUES, binary(COUNTS, 16)]}, RAW_COUNTS[:-1])
    with pytest.raises(InputError, match="has 1 bytes after the last input; allowed: none"):
        parse({"inputs": [VALUES, binary(COUNTS, 16)]}, RAW_COUNTS + b"x")


@pytest.mark.parametrize("length", ["-1", "abc", "", "1e2", "3.5", "9" * 30, "3"])
def test_invalid_header_lengths_are_refused(length: str) -> None:
    with pytest.raises(
        InputError, match=r"Inference-Header-Content-Length is .*; allowed: .* to 2"
    ):
        parse_request(b"{}", length, SPEC)


def test_a_header_length_inside_the_json_is_refused() -> None:
    with pytest.raises(InputError, match="the request is not JSON"):
        parse_request(orjson.dumps(request()), "10", SPEC)


def test_a_raw_request_needs_one_input() -> None:
    with pytest.raises(InputError, match="a raw request needs a model of one input"):
        parse_request(RAW_COUNTS, "0", SPEC)


def test_not_json() -> None:
    for body in (b"", b"{", b"\xff", b'{"a": NaN}', b"[" * 5000):
        with pytest.raises(InputError, match="the request is not JSON"):
            parse_request(body, None, SPEC)


def test_json_of_many_strings_is_refused_before_it_is_read() -> None:
    with pytest.raises(TooLargeError, match="65538 quotes; allowed: 65536; binary"):
        parse_request(b"[" + b'"",' * (2**15 + 1), None, SPEC)


def test_marks_within_binary_data_are_not_counted() -> None:
    shape = [4096, 2]
    values = {**VALUES, "shape": shape}
    counts = np.full(shape, int.from_bytes(b"{" * 8), "<i8").tobytes()
    content = {"inputs": [binary(values, 2**15), binary({**COUNTS, "shape": shape}, 2**16)]}
    assert parse(content, b"{" * 2**15 + counts).feeds["counts"].shape == (4096, 2)
