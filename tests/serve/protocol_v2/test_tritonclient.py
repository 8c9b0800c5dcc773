"""The points of the protocol with tritonclient, which is used as it is published."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime import load
from serve.settings import Settings
from tests.serve.support.server import running
from tests.support.artifacts import CLASSIFIER, TENSORS, TEXT, TYPES, VOICE, write_artifact
from tests.support.images import png

KEY = "a key of the tests"
BEARER = {"Authorization": f"Bearer {KEY}"}
BASE = "models/here"
MODEL = "face_emotion_xception"
DTYPES = {
    "BOOL": "bool", "UINT8": "uint8", "UINT16": "uint16", "UINT32": "uint32", "UINT64": "uint64",
    "INT8": "int8", "INT16": "int16", "INT32": "int32", "INT64": "int64", "FP16": "float16",
    "FP32": "float32", "FP64": "float64", "BYTES": "string",
}  # fmt: skip

try:
    import tritonclient.http as http
    from tritonclient.utils import InferenceServerException
except (ImportError, RuntimeError) as problem:  # RuntimeError: installed without [http]
    pytest.skip(f"tritonclient.http cannot be imported: {problem}", allow_module_level=True)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("artifacts")
    for graph in (CLASSIFIER, TENSORS, TYPES, TEXT, VOICE):
        write_artifact(folder, graph)
    return folder


@pytest.fixture(scope="module")
def address(root: Path) -> Iterator[str]:
    with running(Settings(artifacts=root, admin_key=KEY, base_path=f"/{BASE}")) as client:
        yield f"127.0.0.1:{client.base_url.port}/{BASE}"


@pytest.fixture
def triton(address: str) -> Iterator[Any]:
    with http.InferenceServerClient(address, concurrency=8) as client:
        yield client


def inputs_of(arrays: dict[str, tuple[str, NDArray[Any]]], *, binary: bool = True) -> list[Any]:
    inputs = []
    for name, (datatype, array) in arrays.items():
        inputs.append(http.InferInput(name, list(array.shape), datatype))
        inputs[-1].set_data_from_numpy(array, binary_data=binary)
    return inputs


def pixels(rows: int, level: int = 90) -> list[Any]:
    return inputs_of({"image": ("UINT8", np.full((rows, 8, 8, 1), level, np.uint8))})


def every_dtype(rows: int = 2) -> dict[str, NDArray[Any]]:
    arrays: dict[str, NDArray[Any]] = {}
    for datatype, dtype in DTYPES.items():
        if datatype == "BYTES":
            texts = np.array(["", "é €", "a\nb", "x"], object)
            arrays[datatype] = np.resize(texts, (rows, 2))
        else:
            arrays[datatype] = np.arange(2 * rows).reshape(rows, 2).astype(dtype)
    return arrays


def typed_inputs(arrays: dict[str, NDArray[Any]], **options: bool) -> list[Any]:
    named = {f"in_{DTYPES[datatype]}": (datatype, array) for datatype, array in arrays.items()}
    return inputs_of(named, **options)


def test_health_metadata_and_config(triton: Any) -> None:  # points 1, 2, 18
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready("tiny_types")
    assert not triton.is_model_ready("nobody")
    assert "statistics" in triton.get_server_metadata()["extensions"]
    inputs = triton.get_model_metadata("tiny_types")["inputs"]
    assert [entry["datatype"] for entry in inputs] == list(DTYPES)
    config = triton.get_model_config("tiny_types")
    assert config["max_batch_size"] > 1
    types = [entry["data_type"] for entry in config["input"]]
    assert types == [f"TYPE_{d}" for d in DTYPES if d != "BYTES"] + ["TYPE_STRING"]
    assert {tuple(entry["dims"]) for entry in config["input"]} == {(2,)}
    assert triton.get_model_config("clinical_text_minilm")["input"][0]["dims"] == [-1]


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_every_datatype_both_ways(triton: Any, rows: int) -> None:  # points 4, 5, 9, 10
    arrays = every_dtype(rows)
    result = triton.infer("tiny_types", typed_inputs(arrays))
    for datatype, array in arrays.items():
        output = result.as_numpy(f"out_{DTYPES[datatype]}")
        assert output.shape == array.shape
        if datatype == "BYTES":
            output = np.array([text.decode() for text in output.ravel()], object).reshape(rows, 2)
        else:
            assert output.dtype == array.dtype
        assert np.array_equal(output, array), datatype


def test_json_and_binary_mixed(triton: Any) -> None:  # points 3, 4, 6
    arrays = every_dtype()
    binary = typed_inputs(arrays)
    json_ = typed_inputs({d: a for d, a in arrays.items() if d != "FP16"}, binary=False)
    half = [entry for entry in binary if entry.datatype() == "FP16"]
    outputs = [
        http.InferRequestedOutput(f"out_{dtype}", binary_data=number % 2 == 0)
        for number, dtype in enumerate(DTYPES.values())
    ]
    result = triton.infer("tiny_types", [*json_, *half], outputs=outputs)
    for datatype, array in arrays.items():
        if datatype != "BYTES":
            assert np.array_equal(result.as_numpy(f"out_{DTYPES[datatype]}"), array), datatype


@pytest.mark.parametrize("request_algorithm", [None, "gzip", "deflate"])
@pytest.mark.parametrize("answer_algorithm", [None, "gzip", "deflate"])
def test_compression(  # point 8
    triton: Any, request_algorithm: str | None, answer_algorithm: str | None
) -> None:
    result = triton.infer(
        MODEL,
        pixels(500),
        request_compression_algorithm=request_algorithm,
        response_compression_algorithm=answer_algorithm,
    )
    assert result.as_numpy("probabilities").shape == (500, 3)


def test_an_element_that_is_no_utf_8_is_refused(triton: Any) -> None:  # point 9
    arrays = every_dtype()
    arrays["BYTES"] = np.full((2, 2), b"\xff\xfe", object)
    with pytest.raises(InferenceServerException, match="'in_string' is not UTF-8") as caught:
        triton.infer("tiny_types", typed_inputs(arrays))
    assert caught.value.status() == "400"


def test_encoded_media_equal_their_tensors(triton: Any, root: Path) -> None:
    pictures = [png(np.full((30, 40, 3), level, np.uint8)) for level in (20, 120, 240)]
    array = np.array(pictures, object)
    result = triton.infer(MODEL, inputs_of({"image": ("BYTES", array)}))
    model = load(root / MODEL)
    expected = [model.run(model.prepare(data).feeds)["probabilities"] for data in pictures]
    assert np.array_equal(result.as_numpy("probabilities"), np.concatenate(expected))
    texts = np.array(["walks slowly", "a text"], object)
    result = triton.infer("clinical_text_minilm", inputs_of({"text": ("BYTES", texts)}))
    model = load(root / "clinical_text_minilm")
    expected = [model.run(model.prepare(text).feeds)["embedding"] for text in texts]
    assert np.array_equal(result.as_numpy("embedding"), np.concatenate(expected))


def test_a_raw_request_through_the_body(triton: Any) -> None:  # point 7
    body = np.full((2, 8, 8, 1), 90, np.uint8).tobytes()
    response = triton._post(
        f"v2/models/{MODEL}/infer", body, {"Inference-Header-Content-Length": "0"}, None
    )
    result = http.InferResult.from_response_body(
        response.read(), header_length=int(response.get("inference-header-content-length"))
    )
    expected = triton.infer(MODEL, pixels(2)).as_numpy("probabilities")
    assert np.array_equal(result.as_numpy("probabilities"), expected)


def test_id_and_version(triton: Any) -> None:  # points 11, 17, 19
    result = triton.infer(MODEL, pixels(1), model_version="1", request_id="é 1")
    assert result.get_response()["id"] == "é 1"
    assert result.get_response()["model_version"] == "1"
    assert "id" not in triton.infer(MODEL, pixels(1)).get_response()
    with pytest.raises(InferenceServerException, match="version '7'") as caught:
        triton.infer(MODEL, pixels(1), model_version="7")
    assert caught.value.status() == "404"
    with pytest.raises(InferenceServerException, match="model 'no such é' is unknown"):
        triton.infer("no such é", pixels(1))
    assert triton.is_model_ready(MODEL, query_params={"a": "b c"})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": "nobody"}, "input 'nobody' is unknown"),
        ({"shape": [2**63, 8, 8, 1]}, "has binary_data_size 64; allowed"),
        ({"shape": [-1, 8, 8, 1]}, "has shape"),
        ({"datatype": "FP32"}, "has datatype 'FP32'; allowed: UINT8"),
    ],
)
def test_refusals(triton: Any, change: dict[str, Any], message: str) -> None:  # 12, 13, 15, 16
    (entry,) = pixels(1)
    for name, value in change.items():
        setattr(entry, f"_{name}", value)
    with pytest.raises(InferenceServerException, match=message) as caught:
        triton.infer(MODEL, [entry])
    assert caught.value.status() == "400"
    assert triton.infer(MODEL, pixels(1)).as_numpy("probabilities").shape == (1, 3)  # 24


def test_the_repository(triton: Any) -> None:  # points 20, 21
    index = triton.get_model_repository_index()
    assert {entry["name"]: entry["state"] for entry in index}["tiny_types"] == "READY"
    for headers in (None, {"Authorization": "Bearer another"}):
        with pytest.raises(InferenceServerException, match="the key is missing or wrong") as caught:
            triton.unload_model("tiny_types", headers=headers)
        assert caught.value.status() == "403"
    for options, name in (
        ({"config": "{}"}, "config"),
        ({"config": "{}", "files": {"file:1/model.onnx": b"x"}}, "(config|file:1/model.onnx)"),
    ):
        with pytest.raises(InferenceServerException, match=f"the parameter '{name}'"):
            triton.load_model("tiny_types", headers=BEARER, **options)
    for _ in range(2):
        triton.unload_model("tiny_types", headers=BEARER, unload_dependents=True)
    assert not triton.is_model_ready("tiny_types")
    assert triton.is_server_ready()
    with pytest.raises(InferenceServerException, match="was unloaded") as caught:
        triton.infer("tiny_types", typed_inputs(every_dtype()))
    assert caught.value.status() == "503"
    for _ in range(2):
        triton.load_model("tiny_types", headers=BEARER)
    assert triton.is_model_ready("tiny_types")
    assert triton.infer("tiny_types", typed_inputs(every_dtype())).as_numpy("out_int8") is not None


def test_statistics_move_by_rows(triton: Any) -> None:  # point 22
    (before,) = triton.get_inference_statistics(MODEL)["model_stats"]
    triton.infer(MODEL, pixels(5))
    with pytest.raises(InferenceServerException):
        triton.infer(MODEL, [])
    (after,) = triton.get_inference_statistics(MODEL)["model_stats"]
    assert after["inference_count"] == before["inference_count"] + 5
    assert after["execution_count"] == before["execution_count"] + 1
    first, second = before["inference_stats"], after["inference_stats"]
    for name in ("success", "fail", "queue", "compute_input", "compute_infer", "compute_output"):
        assert second[name]["count"] == first[name]["count"] + 1, name
        assert second[name]["ns"] > first[name]["ns"], name
    assert 5 in [entry["batch_size"] for entry in after["batch_stats"]]
    assert len(triton.get_inference_statistics()["model_stats"]) == 5


def test_classification(triton: Any) -> None:  # point 23
    outputs = [http.InferRequestedOutput("probabilities", class_count=2)]
    images = np.stack([np.full((8, 8, 1), level, np.uint8) for level in (0, 255)])
    result = triton.infer(MODEL, inputs_of({"image": ("UINT8", images)}), outputs=outputs)
    rows = [[text.decode() for text in row] for row in result.as_numpy("probabilities")]
    values = triton.infer(MODEL, inputs_of({"image": ("UINT8", images)})).as_numpy("probabilities")
    assert [row[0].split(":")[1:] for row in rows] == [["0", "dark"], ["2", "bright"]]
    assert rows[0][0] == f"{values[0].max():f}:0:dark"
    assert len(rows[0]) == 2


def test_requests_at_once_get_their_own_rows(triton: Any) -> None:  # point 25
    levels = [level % 256 for level in range(0, 960, 15)]
    expected = {
        level: triton.infer(MODEL, pixels(1, level)).as_numpy("probabilities") for level in levels
    }
    requests = [(level, triton.async_infer(MODEL, pixels(2, level))) for level in levels]
    for level, request in requests:
        answer = request.get_result().as_numpy("probabilities")
        assert np.array_equal(answer, np.repeat(expected[level], 2, axis=0)), level


def test_a_shared_memory_input_and_settings_get_an_error(triton: Any) -> None:
    entry = http.InferInput("image", [1, 8, 8, 1], "UINT8")
    entry.set_shared_memory("region", 64)
    with pytest.raises(InferenceServerException, match="shared memory is not offered"):
        triton.infer(MODEL, [entry])
    for ask in (
        triton.get_trace_settings,
        triton.get_log_settings,
        triton.get_system_shared_memory_status,
        triton.get_cuda_shared_memory_status,
    ):
        with pytest.raises(InferenceServerException, match="no route") as caught:
            ask()
        assert caught.value.status() == "404"
