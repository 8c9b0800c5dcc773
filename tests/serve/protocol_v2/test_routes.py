"""The Open Inference Protocol over HTTP: byte by byte with httpx, and with tritonclient."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

import serve
from runtime import load
from serve.protocol_v2.routes import EXTENSIONS
from serve.settings import Settings
from tests.serve.conftest import Serve
from tests.support.artifacts import CLASSIFIER, write_artifact

TENSORS = "/v2/models/tiny_tensors"
VALUES = np.array([[1.5, -2], [6, 8]], np.float32)
COUNTS = np.array([[3, 4], [2, 5]], np.int64)
LENGTH = "Inference-Header-Content-Length"


def tensor(name: str, array: NDArray[Any], **fields: Any) -> dict[str, Any]:
    datatype = {"float32": "FP32", "int64": "INT64", "uint8": "UINT8"}[array.dtype.name]
    return {"name": name, "shape": list(array.shape), "datatype": datatype, **fields}


def json_request(**fields: Any) -> dict[str, Any]:
    values = tensor("values", VALUES, data=VALUES.ravel().tolist())
    return {"inputs": [values, tensor("counts", COUNTS, data=COUNTS.tolist())], **fields}


def binary_request(**fields: Any) -> tuple[bytes, dict[str, str]]:
    """Return body and headers as tritonclient sends them: JSON, then the tensors in order."""
    inputs = [
        tensor(name, array, parameters={"binary_data_size": array.nbytes})
        for name, array in (("values", VALUES), ("counts", COUNTS))
    ]
    head = json.dumps({"inputs": inputs, **fields}).encode()
    body = head + VALUES.tobytes() + COUNTS.tobytes()
    return body, {LENGTH: str(len(head))}


def read_binary(response: httpx.Response) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Return the JSON and the binary outputs of a response, read as tritonclient reads them."""
    assert response.headers["content-type"] == "application/octet-stream"
    length = int(response.headers[LENGTH])
    content, tail = json.loads(response.content[:length]), response.content[length:]
    arrays: dict[str, NDArray[Any]] = {}
    for output in content["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            continue
        dtype = {"FP32": "<f4", "INT64": "<i8"}[output["datatype"]]
        arrays[output["name"]] = np.frombuffer(tail[:size], dtype).reshape(output["shape"])
        tail = tail[size:]
    assert tail == b""
    return content, arrays


def test_health_and_metadata(client: httpx.Client) -> None:
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json()["ready"] is True
    server = {"name": "slipway", "version": serve.__version__, "extensions": list(EXTENSIONS)}
    assert client.get("/v2").json() == client.get("/v2/").json() == server


@pytest.mark.parametrize("path", [TENSORS, f"{TENSORS}/versions/1"])
def test_model_metadata(client: httpx.Client, path: str) -> None:
    assert client.get(path).json() == {
        "name": "tiny_tensors",
        "versions": ["1"],
        "platform": "onnx_onnxv1",
        "inputs": [
            {"name": "values", "datatype": "FP32", "shape": [-1, 2]},
            {"name": "counts", "datatype": "INT64", "shape": [-1, 2]},
        ],
        "outputs": [
            {"name": "quotients", "datatype": "FP32", "shape": [-1, 2]},
            {"name": "doubled", "datatype": "INT64", "shape": [-1, 2]},
        ],
    }
    assert client.get(f"{path}/ready").json() == {"name": "tiny_tensors", "ready": True}


@pytest.mark.parametrize("suffix", ["", "/ready", "/infer"])
def test_an_unknown_model_or_version(client: httpx.Client, suffix: str) -> None:
    method = "POST" if suffix == "/infer" else "GET"
    unknown = client.request(method, f"/v2/models/nobody{suffix}")
    assert unknown.status_code == 404
    assert unknown.json()["error"].startswith("model 'nobody' is unknown; known: ")
    other = client.request(method, f"{TENSORS}/versions/2{suffix}")
    assert other.status_code == 404
    assert other.json() == {"error": "version '2' of model 'tiny_tensors' is not served; served: 1"}


def test_a_detector_returns_its_raw_tensors(client: httpx.Client, artifacts: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3), np.uint8)
    entry = tensor("image", images, parameters={"binary_data_size": images.nbytes})
    head = {"inputs": [entry], "parameters": {"binary_data_output": True}}
    text = json.dumps(head).encode()
    path = "/v2/models/tiny_detector/infer"
    response = client.post(path, content=text + images.tobytes(), headers={LENGTH: str(len(text))})
    content, arrays = read_binary(response)
    expected = load(artifacts / "tiny_detector").run({"image": images})
    assert [output["name"] for output in content["outputs"]] == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(arrays[name], array)


def test_infer_with_json(client: httpx.Client) -> None:
    response = client.post(f"{TENSORS}/infer", json=json_request(id="a-1"))
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-model-weights"] == "pretrained"
    assert LENGTH not in response.headers
    answer = response.json()
    quotients, doubled = answer.pop("outputs")
    assert answer == {"model_name": "tiny_tensors", "model_version": "1", "id": "a-1"}
    assert quotients.pop("data") == pytest.approx([0.5, -0.5, 3, 1.6], rel=1e-6)  # float32
    assert quotients == {"name": "quotients", "datatype": "FP32", "shape": [2, 2]}
    assert doubled == {
        "name": "doubled",
        "datatype": "INT64",
        "shape": [2, 2],
        "data": [6, 8, 4, 10],
    }


def test_a_response_without_a_request_id_has_none(client: httpx.Client) -> None:
    assert "id" not in client.post(f"{TENSORS}/infer", json=json_request()).json()


def test_infer_with_binary_tensors(client: httpx.Client) -> None:
    body, headers = binary_request(id="7", parameters={"binary_data_output": True})
    content, arrays = read_binary(client.post(f"{TENSORS}/infer", content=body, headers=headers))
    assert content["id"] == "7"
    assert [output["name"] for output in content["outputs"]] == ["quotients", "doubled"]
    assert all("data" not in output for output in content["outputs"])
    assert np.array_equal(arrays["quotients"], VALUES / COUNTS.astype(np.float32))
    assert np.array_equal(arrays["doubled"], COUNTS * 2)


def test_outputs_in_another_order_one_binary_one_json(client: httpx.Client) -> None:
    outputs = [
        {"name": "doubled", "parameters": {"binary_data": False}},
        {"name": "quotients", "parameters": {"binary_data": True}},
    ]
    response = client.post(f"{TENSORS}/infer", json=json_request(outputs=outputs))
    content, arrays = read_binary(response)
    assert content["outputs"][0]["data"] == [6, 8, 4, 10]
    assert list(arrays) == ["quotients"]


def test_one_output_of_two(client: httpx.Client) -> None:
    answer = client.post(f"{TENSORS}/infer", json=json_request(outputs=[{"name": "doubled"}]))
    assert [output["name"] for output in answer.json()["outputs"]] == ["doubled"]


def test_a_raw_request_is_one_input_and_binary_outputs(client: httpx.Client) -> None:
    pixels = np.zeros((3, 8, 8, 1), np.uint8)
    path = "/v2/models/face_emotion_xception/versions/1/infer"
    response = client.post(path, content=pixels.tobytes(), headers={LENGTH: "0"})
    content, arrays = read_binary(response)
    assert content["outputs"][0]["shape"] == [3, 3]
    assert np.array_equal(arrays["probabilities"].argmax(axis=1), [0, 0, 0])
    refused = client.post(path, content=pixels.tobytes()[:-1], headers={LENGTH: "0"})
    assert refused.status_code == 400
    assert refused.json() == {
        "error": "input 'image' has 191 bytes; allowed: a multiple of 64 bytes"
    }


@pytest.mark.parametrize(("count", "value"), [(0, 1.0), (0, 0.0)])
def test_nan_and_infinity_never_become_json(client: httpx.Client, count: int, value: float) -> None:
    values, counts = np.full((1, 2), value, np.float32), np.full((1, 2), count, np.int64)
    inputs = [
        tensor("values", values, data=values.tolist()),
        tensor("counts", counts, data=counts.tolist()),
    ]
    response = client.post(f"{TENSORS}/infer", json={"inputs": inputs})
    assert response.status_code == 400
    assert "output 'quotients' holds NaN or infinity" in response.json()["error"]
    binary = {"inputs": inputs, "parameters": {"binary_data_output": True}}
    _, arrays = read_binary(client.post(f"{TENSORS}/infer", json=binary))
    assert not np.isfinite(arrays["quotients"]).any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "valuez"}, "input 'valuez' is unknown; known: values, counts"),
        ({"datatype": "FP64"}, "input 'values' has datatype 'FP64'; allowed: FP32"),
        ({"shape": [2, 3]}, "input 'values' has shape [2, 3]; allowed: [-1, 2], where"),
        ({"shape": [2**63, 2]}, "input 'values' has 4 elements; allowed: 18446744073709551616"),
        ({"data": [1, 2, 3]}, "input 'values' has 3 elements; allowed: 4, as its shape is [2, 2]"),
    ],
)
def test_a_wrong_tensor_is_named(
    client: httpx.Client, changes: dict[str, Any], message: str
) -> None:
    request = json_request()
    request["inputs"][0].update(changes)
    response = client.post(f"{TENSORS}/infer", json=request)
    assert response.status_code == 400
    assert message in response.json()["error"]


@pytest.mark.parametrize("length", ["-1", "x", "100000"])
def test_a_wrong_header_length(client: httpx.Client, length: str) -> None:
    body, _ = binary_request()
    response = client.post(f"{TENSORS}/infer", content=body, headers={LENGTH: length})
    assert response.status_code == 400
    assert response.json()["error"].startswith(f"{LENGTH} is '{length}'; allowed: an integer, 0 to")


def test_a_connection_serves_on_after_an_error(client: httpx.Client) -> None:
    body, headers = binary_request()
    for _ in range(3):
        assert client.post(f"{TENSORS}/infer", content=body + b"x", headers=headers).is_error
        assert client.post(f"{TENSORS}/infer", content=body, headers=headers).is_success


def test_seeded_weights_are_in_the_headers(tmp_path: Path, serve: Serve) -> None:
    write_artifact(tmp_path, CLASSIFIER, origin="seeded")
    client = serve(Settings(artifacts=tmp_path, allow_seeded=True))
    pixels = np.zeros((1, 8, 8, 1), np.uint8)
    response = client.post(
        "/v2/models/face_emotion_xception/infer", content=pixels.tobytes(), headers={LENGTH: "0"}
    )
    assert response.headers["x-model-weights"] == "seeded"
    assert "untrained" in response.headers["x-warnings"]


@pytest.fixture
def triton(client: httpx.Client) -> Iterator[Any]:
    """Return the client that Triton publishes for the protocol."""
    try:
        import tritonclient.http as http
    except (ImportError, RuntimeError) as error:  # RuntimeError: installed without [http]
        pytest.skip(f"tritonclient.http cannot be imported: {error}")
    with http.InferenceServerClient(f"127.0.0.1:{client.base_url.port}") as inference:
        yield inference


def triton_inputs(*, binary: bool) -> list[Any]:
    import tritonclient.http as http

    inputs = []
    for name, array, datatype in (("values", VALUES, "FP32"), ("counts", COUNTS, "INT64")):
        inputs.append(http.InferInput(name, list(array.shape), datatype))
        inputs[-1].set_data_from_numpy(array, binary_data=binary)
    return inputs


def test_tritonclient_reads_health_and_metadata(triton: Any) -> None:
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("tiny_tensors")
    assert triton.is_model_ready("tiny_tensors", "1")
    assert not triton.is_model_ready("tiny_tensors", "2")
    assert not triton.is_model_ready("nobody")
    assert triton.get_server_metadata()["extensions"] == list(EXTENSIONS)
    assert triton.get_model_metadata("tiny_tensors")["inputs"][0]["shape"] == [-1, 2]


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False, None])
def test_tritonclient_infers(triton: Any, binary_in: bool, binary_out: bool | None) -> None:
    import tritonclient.http as http

    outputs = None
    if binary_out is not None:
        names = ("doubled", "quotients")
        outputs = [http.InferRequestedOutput(name, binary_data=binary_out) for name in names]
    result = triton.infer(
        "tiny_tensors", triton_inputs(binary=binary_in), outputs=outputs, request_id="é 1"
    )
    assert result.get_response()["id"] == "é 1"
    assert np.array_equal(result.as_numpy("doubled"), COUNTS * 2)
    # equal to the last bit: JSON carries float32 exactly, as the digits of a float64
    assert np.array_equal(result.as_numpy("quotients"), VALUES / COUNTS.astype(np.float32))


def test_tritonclient_understands_refusals(triton: Any) -> None:
    from tritonclient.utils import InferenceServerException

    with pytest.raises(InferenceServerException, match="model 'nobody' is unknown") as caught:
        triton.infer("nobody", triton_inputs(binary=True))
    assert caught.value.status() == "404"
    with pytest.raises(InferenceServerException, match="input 'counts' is missing") as caught:
        triton.infer("tiny_tensors", triton_inputs(binary=True)[:1])
    assert caught.value.status() == "400"
