import io
import json
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnx
import pytest
import torch  # noqa: TID253 - in a process without TensorFlow
from onnx import TensorProto, helper

from convert.checkpoint import (
    check_keras_config,
    load_strictly,
    read_state_dict,
    sniff,
    tensors_digest,
)
from convert.errors import CheckpointError

POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)


class Plants:
    """Pickled, it would create a file when loaded."""

    def __init__(self, target: Path) -> None:
        self._target = target

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return open, (str(self._target), "w")


def network() -> torch.nn.Module:
    return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))


def saved(state: object, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer, **options)
    return buffer.getvalue()


def onnx_bytes() -> bytes:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 3])
    other = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 3])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [value], [other])
    return helper.make_model(graph).SerializeToString()


def h5_bytes(config: object | None) -> bytes:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.create_dataset("model_weights/kernel", data=np.ones((3, 3)))
        if config is not None:
            file.attrs["model_config"] = config if isinstance(config, str) else json.dumps(config)
    return buffer.getvalue()


def keras_bytes(config: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("config.json", config)
        archive.writestr("model.weights.h5", b"")
    return buffer.getvalue()


def layer(class_name: str, **fields: Any) -> dict[str, Any]:
    inner = {"class_name": class_name, "config": {"name": "one"}, **fields}
    return {"class_name": "Sequential", "config": {"layers": [inner]}}


def refusal(read: Callable[[Path], Any], path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        read(path)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    assert len(text) < 500 + len(str(path))
    return text


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.bin"


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (saved({"a": torch.zeros(1)}), "torch"),
        (saved({"a": torch.zeros(1)}, _use_new_zipfile_serialization=False), "torch"),
        (h5_bytes(None), "hdf5"),
        (keras_bytes("{}"), "keras"),
        (onnx_bytes(), "onnx"),
    ],
    ids=["torch", "legacy torch", "hdf5", "keras", "onnx"],
)
def test_kind_is_told_by_content(path: Path, content: bytes, kind: str) -> None:
    path.write_bytes(content)
    assert sniff(path) == kind


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "the file is empty"),
        (POINTER, "git-lfs pointer"),
        (
            bytes(range(200, 256)),
            "known kinds: torch (.pt, .pth), safetensors, Keras (.h5, .keras), ONNX",
        ),
        (b"<!DOCTYPE html><html>404</html>", "a web page saved under the name"),
        (saved({"a": torch.zeros(999)})[:2000], "damaged or truncated"),
        (keras_bytes("{}")[:-30], "damaged or truncated"),
    ],
    ids=["empty", "git-lfs", "random", "html", "torch cut", "keras cut"],
)
def test_no_checkpoint_is_refused_with_the_reason(path: Path, content: bytes, says: str) -> None:
    path.write_bytes(content)
    assert says in refusal(sniff, path)


def test_zip_of_something_else_is_refused(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "neither a torch nor a Keras model" in refusal(sniff, path)


def test_missing_file_and_directory_are_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(sniff, tmp_path / "nowhere.pth")
    assert "directory" in refusal(sniff, tmp_path)


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("wrap", [False, True], ids=["bare", "beside tensors"])
def test_pickle_that_runs_code_is_refused_and_does_not_run(
    path: Path, tmp_path: Path, legacy: bool, wrap: bool
) -> None:
    planted = tmp_path / "planted"
    payload: Any = Plants(planted)
    state = {"a": torch.zeros(2), "b": payload} if wrap else payload
    path.write_bytes(saved(state, _use_new_zipfile_serialization=not legacy))
    text = refusal(read_state_dict, path)
    assert not planted.exists()
    assert "would have to run code to load (Unsupported global: GLOBAL io.open)" in text
    assert "save its state_dict() instead" in text


def test_plain_pickle_is_refused_and_does_not_run(path: Path, tmp_path: Path) -> None:
    planted = tmp_path / "planted"
    path.write_bytes(pickle.dumps(Plants(planted)))
    assert "unsupported operand" in refusal(read_state_dict, path).lower()
    assert not planted.exists()


def test_pickled_module_is_refused(path: Path) -> None:
    path.write_bytes(saved(network()))
    assert "save its state_dict() instead" in refusal(read_state_dict, path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (onnx_bytes(), "an ONNX file; this model is read from a torch state_dict"),
        (h5_bytes(None), "an HDF5 file (Keras .h5); this model is read from a torch state_dict"),
        (saved([1, 2]), "holds a list; needed: a state_dict"),
        (saved({}), "holds a dict; needed: a state_dict"),
        (saved({"epoch": 3, "lr": 0.1}), "'epoch' is a int; a state_dict holds tensors"),
        (saved({"a": torch.tensor([1.0, float("nan")])}), "a holds NaN or infinity"),
        (saved({"a": torch.tensor([1.0, float("-inf")])}), "a holds NaN or infinity"),
        (saved({0: torch.zeros(2)}), "0 is no name"),
    ],
    ids=["onnx", "hdf5", "list", "nothing", "settings", "nan", "infinity", "number as key"],
)
def test_what_is_no_state_dict_is_refused(path: Path, content: bytes, says: str) -> None:
    path.write_bytes(content)
    assert says in refusal(read_state_dict, path)


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict", "model"])
def test_wrappers_and_data_parallel_prefixes_are_taken_off(path: Path, wrapper: str) -> None:
    state = {f"module.{name}": value for name, value in network().state_dict().items()}
    path.write_bytes(saved({wrapper: OrderedDict(state), "epoch": 4}))
    module = network()
    load_strictly(module, read_state_dict(path), path=path)
    assert torch.equal(module.state_dict()["0.weight"], state["module.0.weight"])


def test_half_precision_becomes_float32_and_integers_stay(path: Path) -> None:
    path.write_bytes(saved({"a": torch.ones(2).half(), "b": torch.ones(2).long()}))
    state = read_state_dict(path)
    assert (state["a"].dtype, state["b"].dtype) == (torch.float32, torch.int64)


def test_missing_and_unexpected_keys_are_named_together(path: Path) -> None:
    state = {"0.weight": torch.zeros(4, 3, 3, 3), "fc.weight": torch.zeros(2), "z": torch.zeros(1)}
    text = refusal(lambda p: load_strictly(network(), state, path=p), path)
    assert "not the keys of Sequential" in text
    assert "5 missing (0.bias, 1.bias, 1.running_mean, 1.running_var, ...)" in text
    assert "2 unexpected (fc.weight, z)" in text
    assert "3 keys found, 7 needed" in text


def test_wrong_shape_is_named_with_both_shapes(path: Path) -> None:
    state = {**network().state_dict(), "0.weight": torch.zeros(4, 1, 3, 3)}
    text = refusal(lambda p: load_strictly(network(), state, path=p), path)
    assert "0.weight has shape (4, 1, 3, 3); needed: (4, 3, 3, 3)" in text


def test_ignored_and_batch_counting_keys_may_differ(path: Path) -> None:
    state = {**network().state_dict(), "aux.head": torch.zeros(1)}
    del state["1.num_batches_tracked"]
    load_strictly(network(), state, path=path, ignore=("aux.*",))


def test_keras_own_layers_pass(path: Path) -> None:
    path.write_bytes(h5_bytes(layer("Conv2D")))
    check_keras_config(path)
    path.write_bytes(keras_bytes(json.dumps(layer("Conv2D", module="keras.layers"))))
    check_keras_config(path)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (layer("Lambda"), "Lambda would run code"),
        (layer("TFSMLayer", module="keras.layers"), "keras.layers.TFSMLayer would run code"),
        (layer("Own", module="my_package"), "my_package.Own would run code"),
        (layer("Conv2D", module="kerasx.layers"), "kerasx.layers.Conv2D would run code"),
        (layer("get_file", module="keras.utils"), "keras.utils.get_file would run code"),
        (layer("Dense", activation={"class_name": "function", "config": "f"}), "function would"),
        (layer("TimeDistributed", layer=layer("Lambda")), "Lambda would run code"),
    ],
    ids=["Lambda", "saved model", "own class", "near name", "download", "function", "nested"],
)
def test_keras_layers_with_code_are_refused(path: Path, config: dict[str, Any], says: str) -> None:
    for content in (h5_bytes(config), keras_bytes(json.dumps(config))):
        path.write_bytes(content)
        assert says in refusal(check_keras_config, path)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (h5_bytes(None), "holds weights without an architecture"),
        (h5_bytes("no json"), "damaged or truncated"),
        (keras_bytes("no json"), "damaged or truncated"),
        (keras_bytes("[" * 100_000), "damaged or truncated"),
        (h5_bytes(layer("Dense"))[:1500], "damaged or truncated"),
        (h5_bytes(layer("Dense"))[:50], "damaged or truncated"),
    ],
    ids=["weights only", "h5 config", "keras config", "deep config", "h5 cut", "h5 head only"],
)
def test_damaged_keras_files_are_refused(path: Path, content: bytes, says: str) -> None:
    path.write_bytes(content)
    assert says in refusal(check_keras_config, path)


def test_digest_depends_on_names_values_dtypes_and_shapes_only() -> None:
    a, b = np.arange(6, dtype=np.float32), np.ones(2, np.float32)
    same = tensors_digest({"a": a, "b": b})
    assert tensors_digest({"b": b, "a": a[::-1].copy()[::-1]}) == same
    others = (
        {"a": a, "c": b},
        {"a": a.reshape(2, 3), "b": b},
        {"a": a.view(np.int32), "b": b},
        {"a": a + 1e-7, "b": b},
    )
    assert same not in [tensors_digest(other) for other in others]


def test_real_checkpoint_of_another_net_is_refused(shared: Path) -> None:
    from convert.models.background_u2netp import RECIPE

    text = refusal(RECIPE.load, shared / "checkpoints/mobilefacenet.pt")
    assert "missing (outconv.bias, outconv.weight, side1.bias, side1.weight, ...)" in text
    assert "unexpected" in text
    assert "not the keys of U2Net" in text


def test_real_pickled_module_graph_is_refused(shared: Path) -> None:
    text = refusal(read_state_dict, shared / "checkpoints/yolov8n_coco_best.pt")
    assert "would have to run code to load" in text


def test_onnx_bytes_are_valid() -> None:
    onnx.checker.check_model(onnx.load_from_string(onnx_bytes()))
