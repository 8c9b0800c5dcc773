import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch  # noqa: TID253 - in a process without TensorFlow

from convert.checkpoint import (
    check_keras_config,
    detect_kind,
    read_state_dict,
    require_kind,
    tensors_digest,
)
from convert.errors import CheckpointError
from tests.convert.support.checkpoint_files import (
    NOT_FOUND,
    POINTER,
    Plants,
    h5_bytes,
    keras_bytes,
    network,
    onnx_bytes,
    refusal,
    safetensors_bytes,
    saved,
    scripted,
)


def layer(class_name: str, **fields: Any) -> dict[str, Any]:
    inner = {"class_name": class_name, "config": {"name": "one"}, **fields}
    return {"class_name": "Sequential", "config": {"layers": [inner]}}


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (saved({"a": torch.zeros(1)}), "torch"),
        (saved({"a": torch.zeros(1)}, _use_new_zipfile_serialization=False), "torch"),
        (h5_bytes(None), "hdf5"),
        (keras_bytes("{}"), "keras"),
        (onnx_bytes(), "onnx"),
        (scripted(network()), "torchscript"),
        (safetensors_bytes({"a": torch.zeros(1)}), "safetensors"),
        (safetensors_bytes({str(i): torch.zeros(1) for i in range(500)}), "safetensors"),
    ],
    ids=[
        "torch",
        "legacy torch",
        "hdf5",
        "keras",
        "onnx",
        "torchscript",
        "safetensors",
        "safetensors of many tensors",
    ],
)
def test_kind_is_detected_by_content(path: Path, content: bytes, kind: str) -> None:
    path.write_bytes(content)
    assert detect_kind(path) == kind


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (POINTER, "git-lfs pointer"),
        (
            bytes(range(200, 256)),
            "known kinds: torch (.pt, .pth), safetensors, Keras (.h5, .keras), ONNX",
        ),
        (NOT_FOUND, "a web page saved under the name of a checkpoint (404: Page not found); dow"),
        (b"<?xml version='1.0'?><Error><Message>Access Denied</Message>", "(Access Denied); dow"),
        (b'{"error": "Invalid username or password."}', "JSON text; needed: the weights"),
        (b"\x1f\x8b\x08\x00" + bytes(60), "compressed with gzip; unpack it first"),
        (saved({"a": torch.zeros(999)})[:2000], "damaged or truncated"),
        (keras_bytes("{}")[:-30], "damaged or truncated"),
    ],
    ids=[
        "empty",
        "git-lfs",
        "random",
        "html",
        "xml",
        "json",
        "gzip",
        "torch cut",
        "keras cut",
    ],
)
def test_other_files_are_refused_with_the_reason(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    assert message in refusal(detect_kind, path)


def test_a_tensorflow_lite_file_is_for_the_models_that_read_one(path: Path) -> None:
    path.write_bytes(b"\x1c\x00\x00\x00TFL3" + bytes(60))
    assert detect_kind(path) == "tflite"
    assert "a TensorFlow Lite model; this model is read from .h5; give the model" in refusal(
        lambda path: require_kind(path, "hdf5"), path
    )


def test_zip_of_something_else_is_refused(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "neither a torch nor a Keras model" in refusal(detect_kind, path)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refusal(detect_kind, tmp_path / "nowhere.pth")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ((), "a directory; pass the file inside it"),
        (("best.pt", "last.pt", "notes.md"), "pass the file inside it: best.pt, last.pt"),
        (("saved_model.pb", "variables"), "a TensorFlow SavedModel"),
        (("data.pkl", "version"), "an unpacked torch file"),
    ],
)
def test_directory_is_refused_with_the_file_to_pass(
    tmp_path: Path, names: tuple[str, ...], message: str
) -> None:
    for name in names:
        (tmp_path / name).touch()
    assert message in refusal(detect_kind, tmp_path)


def test_other_kind_is_named_with_readable_kinds_and_advice(path: Path) -> None:
    path.write_bytes(scripted(network()))
    text = refusal(lambda p: require_kind(p, "hdf5", "keras"), path)
    assert "a TorchScript archive; this model is read from .h5 or .keras; load it with" in text
    assert "save its state_dict() instead" in refusal(read_state_dict, path)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.999])
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_cut_torch_file_is_refused_wherever_it_is_cut(
    path: Path, share: float, legacy: bool
) -> None:
    content = saved(
        {"a": torch.ones(999), "b": torch.ones(9)}, _use_new_zipfile_serialization=not legacy
    )
    path.write_bytes(content[: int(len(content) * share)])
    assert "damaged or truncated" in refusal(read_state_dict, path)


def test_flipped_bytes_are_refused_or_read_but_never_crash(path: Path) -> None:
    content = saved({"state_dict": {"a": torch.ones(64)}, "epoch": 3})
    generator = np.random.default_rng(5)
    refused = 0
    for index in range(200):
        damaged = bytearray(content)
        for place in generator.integers(0, len(content), 1 if index % 2 else 4):
            damaged[place] = generator.integers(0, 256)
        path.write_bytes(damaged)
        try:  # any other error, or a crash of the process, would fail the test
            read_state_dict(path)
        except CheckpointError:
            refused += 1
    assert 50 < refused < 190  # one changed byte may be padding, or a value of the tensor


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("wrap", [False, True], ids=["bare", "among tensors"])
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
    assert "a plain pickle, not torch's: save the state_dict with" in refusal(read_state_dict, path)
    assert not planted.exists()


def test_pickled_module_in_torchs_old_format_is_refused(path: Path) -> None:
    path.write_bytes(saved(network(), _use_new_zipfile_serialization=False))
    assert "save its state_dict() instead" in refusal(read_state_dict, path)


@pytest.mark.parametrize(
    ("content", "message"),
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
def test_other_content_than_a_state_dict_is_refused(
    path: Path, content: bytes, message: str
) -> None:
    path.write_bytes(content)
    assert message in refusal(read_state_dict, path)


def test_keras_own_layers_pass(path: Path) -> None:
    own, foreign = (layer("Conv2D", module=f"{package}.layers") for package in ("keras", "kerasx"))
    for config in (layer("Conv2D"), own):
        for content in (h5_bytes(config), keras_bytes(json.dumps(config))):
            path.write_bytes(content)
            check_keras_config(path)
    path.write_bytes(keras_bytes(json.dumps(foreign)))
    assert "kerasx.layers.Conv2D" in refusal(check_keras_config, path)


@pytest.mark.parametrize(
    ("config", "message"),
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
def test_keras_layers_with_code_are_refused(
    path: Path, config: dict[str, Any], message: str
) -> None:
    for content in (h5_bytes(config), keras_bytes(json.dumps(config))):
        path.write_bytes(content)
        assert message in refusal(check_keras_config, path)


@pytest.mark.parametrize(
    ("content", "message"),
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
def test_damaged_keras_files_are_refused(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    assert message in refusal(check_keras_config, path)


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
    assert "`python -m convert run face_emotion_yolov8n` reads such files" in text
    assert "those of YOLO11 `face_emotion_yolo11n`" in text


def test_onnx_bytes_are_valid() -> None:
    model = onnx.load_from_string(onnx_bytes())
    onnx.checker.check_model(model)
    assert model.graph.node[0].op_type == "Relu"
