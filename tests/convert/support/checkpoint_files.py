"""Checkpoints of every kind as bytes, good and bad, for tests."""

import io
import json
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch  # noqa: TID253 - in a process without TensorFlow
from onnx import TensorProto, helper

from convert.errors import CheckpointError

POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"
)
NOT_FOUND = (
    b"\n<!DOCTYPE html>\n<html><head><title>\n 404: Page not \x00found </title></head></html>"
)


class Plants:
    """An object whose pickle would create a file when loaded."""

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


def scripted(module: torch.nn.Module) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch would rather have us use torch.export
        torch.jit.save(torch.jit.trace(module, torch.zeros(1, 3, 8, 8)), buffer)
    return buffer.getvalue()


def safetensors_bytes(state: dict[str, torch.Tensor]) -> bytes:
    """Write the format that safetensors' README describes: length of the header, header, data."""
    names = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.int64: "I64"}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data = b""
    for name, tensor in state.items():
        raw = tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()
        header[name] = {
            "dtype": names[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [len(data), len(data) + len(raw)],
        }
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data


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


def refusal(read: Callable[[Path], Any], path: Path) -> str:
    """Return the text of the CheckpointError; check that it is one short line naming the file."""
    with pytest.raises(CheckpointError) as caught:
        read(path)
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    assert len(text.replace(str(path), "")) < 500
    return text


def prefixed(prefix: str, state: dict[str, torch.Tensor]) -> OrderedDict[str, torch.Tensor]:
    return OrderedDict((prefix + name, value) for name, value in state.items())


def plus_one(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value + 1 for name, value in state.items()}


def assert_same(tensors: dict[str, Any], state: dict[str, torch.Tensor]) -> None:
    assert tensors.keys() == state.keys()
    for name, value in state.items():
        assert torch.equal(tensors[name], value), name
