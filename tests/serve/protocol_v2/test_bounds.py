"""Try values of an infer request that are a million times longer than they should be."""

from pathlib import Path

import numpy as np
import orjson
import pytest

from runtime import Model, load
from runtime.artifact.manifest import Spec, TensorSpec
from runtime.errors import InputError, TooLargeError
from serve.protocol_v2 import response as module
from serve.protocol_v2.infer import infer
from serve.protocol_v2.request import InferRequest, parse_request
from tests.support.artifacts import CLASSIFIER, write_artifact
from tests.support.memory import peak_bytes

SIZE = 2**20
MOST_COPIES = 5  # of the body: the list of numbers, its marks, and the array
SPEC = Spec(
    schema_version=1,
    id="tiny",
    task="image-classification",
    description="",
    labels=(),
    inputs=(TensorSpec("image", "uint8", ("N", 2)),),
    outputs=(TensorSpec("probabilities", "float32", ("N", 2)),),
    preprocess=(),
    licence="Apache-2.0",
)
INPUT = b'{"inputs":[{"name":"image","datatype":"UINT8",'


def repeated(pattern: bytes) -> bytes:
    return pattern * (SIZE // len(pattern))


def parse(body: bytes) -> InferRequest | InputError:
    try:
        return parse_request(body, None, SPEC)
    except InputError as error:
        return error


@pytest.mark.parametrize(
    "body",
    [
        b'{"id":"%b"}' % repeated(b"a"),
        b'{"id":"%b"}' % (repeated(b"a") + "\N{GRINNING FACE}".encode()),
        b'{"id":[%b1]}' % repeated(b"1,"),
        b'{"id":[%b1]}' % repeated(b"{},"),
        INPUT + b'"shape":[%b1]}]}' % repeated(b"1,"),
        INPUT + b'"shape":[%b1]}]}' % repeated(b"[],"),
        INPUT + b'"shape":[1%b]}]}' % repeated(b"0"),
        INPUT + b'"shape":[1,2],"data":[%b1]}]}' % repeated(b'"",'),
        INPUT + b'"shape":[1,2],"data":[%b1]}]}' % repeated(b"{},"),
        INPUT + b'"shape":[1,2],"data":"%b"}]}' % repeated(b"a"),
        INPUT + b'"shape":[1,2],"parameters":{"binary_data_size":[%b1]}}]}' % repeated(b"1,"),
        b'{"inputs":[{"name":[%b1]}]}' % repeated(b"1,"),
        b'{"inputs":[{"name":"%b"}]}' % repeated(b"a"),
        b'{"inputs":%b' % repeated(b"["),
        b'{"inputs":[%b1]}' % repeated(b"1,"),
        b'{"outputs":[%b1]}' % repeated(b"1,"),
        b'{"parameters":{%b}}' % repeated(b'"a":1,'),
        b"[%b1]" % repeated(b"1,"),
    ],
    ids=lambda body: body[:80].decode("latin-1"),
)
def test_what_is_too_long_is_413_and_takes_little_memory(body: bytes) -> None:
    errors: list[InferRequest | InputError] = []
    peak = peak_bytes(lambda: errors.append(parse(body)))
    assert isinstance(errors[0], TooLargeError)
    assert len(str(errors[0])) < 300
    assert peak < MOST_COPIES * len(body)


@pytest.mark.parametrize(
    "elements", [b"1,", b"256,", b"1.5,", b"true,", b"null,", b"[],", b"[1],", b"[[1,1]],", b"1 ,"]
)
def test_numbers_take_a_few_times_their_size(elements: bytes) -> None:
    count = SIZE // len(elements)
    for rows in (1, count // 2):
        data = b"[%b1]" % (elements * (2 * (count // 2) - 1))
        body = INPUT + b'"shape":[%d,2],"data":%b}]}' % (rows, data)
        peak = peak_bytes(lambda body=body: parse(body))  # type: ignore[misc]
        assert peak < MOST_COPIES * len(body)


def test_lists_of_many_blocks_are_those_of_a_parser() -> None:
    values = (np.arange(2 * 70_001) % 251).astype(np.uint8).reshape(-1, 2)
    flat, nested = orjson.dumps(values.ravel().tolist()), orjson.dumps(values.tolist())
    spaced = nested.replace(b",", b" ,\n ").replace(b"[", b"[ ").replace(b"]", b" ]")
    for data in (flat, nested, spaced):
        body = INPUT + b'"shape":[70001,2],"data" : %b }], "id": "data"}' % data
        request = parse(body)
        assert isinstance(request, InferRequest)
        assert request.id == "data"
        assert np.array_equal(request.feeds["image"], values)


@pytest.mark.parametrize(
    "data",
    [
        b"[1,2", b"[1,2]]", b"[1,,2]", b"[1 2]", b"[1,2,]", b"[,1]", b"[[1,2]", b"[[1,2]]]",
        b"[[1,2]],[[1,2]]", b"[[1 2]]", b"[[1[,]2]]", b"1[[,2]]", b"[[1,]2]", b"[[,1]2]",
        b"[1[,2]]", b"[[1,2],3]", b"[01,2]", b"[1,2] x", b"[1,2],3", b"[1,NaN]",
        b"[1" + b" " * 70_000 + b",]",
    ],
)  # fmt: skip
def test_what_is_no_list_of_json_is_refused(data: bytes) -> None:
    result = parse(INPUT + b'"shape":[1,2],"data":%b}]}' % data)
    assert isinstance(result, InputError)


def test_data_under_an_escaped_name_or_with_other_values_is_read_by_the_parser() -> None:
    request = parse(INPUT + rb'"shape":[1,2],"d\u0061ta":[1,2]}]}')
    assert isinstance(request, InferRequest)
    assert request.feeds["image"].tolist() == [[1, 2]]
    for data, types in ((b'[1,"]"]', "str"), (b'[1,{"data":[1]}]', "dict"), (b"[1,{}]", "dict")):
        with pytest.raises(InputError, match=f"elements of type {types}; allowed: integers"):
            parse_request(INPUT + b'"shape":[1,2],"data":%b}]}' % data, None, SPEC)
    with pytest.raises(InputError, match="nested otherwise than its shape"):
        parse_request(INPUT + b'"shape":[1,2],"data":[[1,2],"a"]}]}', None, SPEC)
    deep = INPUT + rb'"shape":[1,2],"d\u0061ta":' + b"[" * 300 + b"]" * 300 + b"}]}"
    with pytest.raises(InputError, match="nested"):
        parse_request(deep, None, SPEC)


def test_a_long_id_is_refused() -> None:
    with pytest.raises(TooLargeError, match="id has 1025 characters; allowed: 1024"):
        parse_request(b'{"id":"%b"}' % (b"a" * 1025), None, SPEC)


def test_json_answers_are_bounded_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(write_artifact(tmp_path, CLASSIFIER))
    tensor = model.spec.inputs[0]
    size = np.prod([axis for axis in tensor.shape if isinstance(axis, int)])
    shape = [3, *tensor.shape[1:]]
    content = {"name": tensor.name, "datatype": "UINT8", "shape": shape}
    binary = {**content, "parameters": {"binary_data_size": int(3 * size)}}
    numbers = 3 * len(model.spec.labels)

    def answer(**fields: object) -> int:
        head = orjson.dumps({"inputs": [binary], **fields})
        turns = infer(model, head + bytes(3 * size), str(len(head)))
        with pytest.raises(StopIteration) as end:
            next(turns)
        return int(end.value.value.status_code)

    monkeypatch.setattr(module, "MAX_JSON_NUMBERS", numbers)
    assert answer() == 200
    monkeypatch.setattr(module, "MAX_JSON_NUMBERS", numbers - 1)
    assert answer(parameters={"binary_data_output": True}) == 200
    monkeypatch.setattr(Model, "run", None)  # refused before it is called
    with pytest.raises(TooLargeError, match=f"{numbers} numbers; .*binary_data_output"):
        answer()
