import argparse
import datetime
import os
from collections import OrderedDict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch  # noqa: TID253 - in a process without TensorFlow

from convert.checkpoint import read_checkpoint, read_state_dict
from convert.checkpoint.keys import strip_prefix
from convert.checkpoint.torch_file import AVERAGED, WRAPPERS
from tests.convert.support.checkpoint_files import (
    Plants,
    assert_same,
    network,
    onnx_bytes,
    plus_one,
    prefixed,
    refusal,
    safetensors_bytes,
    saved,
)


@pytest.mark.parametrize("wrapper", [*WRAPPERS, *AVERAGED])
def test_state_dict_is_found_in_every_wrapper(
    path: Path, state: dict[str, torch.Tensor], wrapper: str
) -> None:
    optimizer = torch.optim.Adam(network().parameters()).state_dict()
    extras = {"epoch": 4, "optimizer": optimizer, "loss": 0.5, "best": None, "names": ["a", "b"]}
    path.write_bytes(saved({**extras, wrapper: OrderedDict(state)}))
    assert_same(read_state_dict(path), state)


def test_state_dict_is_found_in_a_wrapper_in_a_wrapper(
    path: Path, state: dict[str, torch.Tensor]
) -> None:
    path.write_bytes(saved({"model": {"state_dict": state, "arch": "net"}, "epoch": 4}))
    assert_same(read_state_dict(path), state)


@pytest.mark.parametrize("average", AVERAGED)
def test_average_is_preferred(path: Path, state: dict[str, torch.Tensor], average: str) -> None:
    path.write_bytes(saved({"model": state, average: prefixed("module.", plus_one(state))}))
    assert_same(read_state_dict(path), plus_one(state))


def test_average_of_a_part_is_not_preferred(path: Path, state: dict[str, torch.Tensor]) -> None:
    part = {"0.weight": state["0.weight"] + 1}
    path.write_bytes(saved({"model": state, "ema": part}))
    assert_same(read_state_dict(path), state)


def test_averaged_model_loses_its_count(path: Path, state: dict[str, torch.Tensor]) -> None:
    averaged = torch.optim.swa_utils.AveragedModel(network())
    averaged.module.load_state_dict(state)
    path.write_bytes(saved({"model_ema": averaged.state_dict()}))
    assert "n_averaged" in averaged.state_dict()
    assert_same(read_state_dict(path), state)


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module.", "module.module."]
)
def test_prefixes_of_training_tools_are_removed(
    path: Path, state: dict[str, torch.Tensor], prefix: str
) -> None:
    path.write_bytes(saved(prefixed(prefix, state)))
    assert_same(read_state_dict(path), state)


def test_prefix_that_not_all_keys_share_stays(path: Path) -> None:
    mixed = {"module.a": torch.zeros(1), "b": torch.zeros(1)}
    path.write_bytes(saved(mixed))
    assert_same(read_state_dict(path), mixed)


def test_marker_key_finds_the_prefix(path: Path, state: dict[str, torch.Tensor]) -> None:
    path.write_bytes(saved({"state_dict": prefixed("model.", state), "epoch": 1}))
    assert_same(read_state_dict(path, marker_keys=("conv.weight", "0.weight")), state)
    assert strip_prefix(state, "0.weight") == state
    assert strip_prefix(state, "nowhere") == state
    other = {"metric.weight": torch.zeros(1), "teacher.metric.weight": torch.zeros(1)}
    assert strip_prefix(other, "metric.weight") == other


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floating_point_becomes_float32_and_integers_stay(path: Path, dtype: torch.dtype) -> None:
    values = torch.tensor([1.5, -2.0])
    path.write_bytes(saved({"a": values.to(dtype), "b": torch.ones(2).long()}))
    state = read_state_dict(path)
    assert (state["a"].dtype, state["b"].dtype) == (torch.float32, torch.int64)
    assert torch.equal(state["a"], values)  # both are exact in every dtype


def test_parameters_and_views_are_read(path: Path) -> None:
    whole = torch.arange(6.0)
    state = {"a": torch.nn.Parameter(torch.ones(2)), "b": whole[:4].view(2, 2).t(), "c": whole}
    path.write_bytes(saved(state))
    tensors = read_state_dict(path)
    assert tensors["b"].tolist() == [[0, 2], [1, 3]]
    assert not tensors["a"].requires_grad


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.full((2,), 1e300, dtype=torch.float64), "a holds NaN or infinity"),
        (torch.zeros(1).expand(10**6), "a claims the shape (1000000,) of 4 bytes; damaged"),
        (torch.eye(3).to_sparse(), "a is sparse, quantized or empty; needed: values"),
        (torch.zeros(3, device="meta"), "a is sparse, quantized or empty; needed: values"),
    ],
    ids=["beyond float32", "unfolded", "sparse", "meta"],
)
def test_tensors_that_are_no_weights_are_refused(
    path: Path, value: torch.Tensor, message: str
) -> None:
    path.write_bytes(saved({"a": value}))
    assert message in refusal(read_state_dict, path)


def test_settings_of_training_scripts_are_read_as_values(
    path: Path, state: dict[str, torch.Tensor]
) -> None:
    root = {
        "state_dict": state,
        "args": argparse.Namespace(arch="b3", lr=np.float64(0.5), out=Path("runs")),
        "config": SimpleNamespace(img_size=300),
        "epoch": np.int64(7),
        "best": np.float32(0.75),
        "fast": np.bool_(True),
        "word": np.str_("été"),
        "classes": np.array(["angry", "sad"]),
        "objects": np.array(["a", "b"], dtype=object),
        "big_endian": np.array([1, 2], dtype=">i4"),
        "when": datetime.datetime(2026, 1, 2),
        "torch": torch.__version__,
    }
    path.write_bytes(saved(root))
    checkpoint = read_checkpoint(path)
    assert_same(read_state_dict(path), state)
    assert (checkpoint["args"]["arch"], checkpoint["args"]["lr"]) == ("b3", 0.5)
    assert checkpoint["config"]["img_size"] == 300
    assert (checkpoint["epoch"], checkpoint["best"], checkpoint["fast"]) == (7, 0.75, True)
    assert (checkpoint["word"], checkpoint["big_endian"]) == ("été", [1, 2])
    assert (checkpoint["classes"], checkpoint["objects"]) == (["angry", "sad"], ["a", "b"])
    assert {type(checkpoint[name]).__module__ for name in ("when", "torch")} == {
        "convert.checkpoint.stubs"
    }


@pytest.mark.parametrize("place", ["args", "scalar", "deep"])
def test_code_among_the_settings_is_refused_and_does_not_run(
    path: Path, tmp_path: Path, state: dict[str, torch.Tensor], place: str
) -> None:
    planted = Plants(tmp_path / "planted")
    settings: dict[str, Any] = {
        "args": argparse.Namespace(lr=planted),
        "scalar": np.array([planted], dtype=object),
        "deep": {"a": [{"b": (planted,)}]},
    }
    path.write_bytes(saved({"state_dict": state, "extras": settings[place]}))
    assert "would have to run code to load" in refusal(read_state_dict, path)
    assert not (tmp_path / "planted").exists()


def test_functions_by_name_are_refused(path: Path, state: dict[str, torch.Tensor]) -> None:
    path.write_bytes(saved({"state_dict": state, "after": os.system}))
    assert "posix.system" in refusal(read_state_dict, path)


def test_refusal_names_the_content_if_there_is_no_state_dict(path: Path) -> None:
    path.write_bytes(saved({"backbone": {"a": torch.zeros(1)}, "head": {}, "epoch": 3}))
    text = refusal(read_state_dict, path)
    assert "'backbone' is a dict; a state_dict holds tensors, bare or under state_dict, " in text
    assert "found: backbone, head, epoch" in text


def test_safetensors_file_is_read(path: Path) -> None:
    state = {"a": torch.tensor([1.5, 2.0]), "b": torch.ones(2, 2).bfloat16(), "c": torch.ones(1)}
    path.write_bytes(safetensors_bytes(prefixed("module.", state)))
    tensors = read_state_dict(path)
    assert tensors.keys() == state.keys()
    assert torch.equal(tensors["a"], state["a"])
    assert tensors["b"].dtype == torch.float32


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_cut_safetensors_file_is_refused(path: Path, share: float) -> None:
    content = safetensors_bytes({"a": torch.ones(999)})
    path.write_bytes(content[: int(len(content) * share)])
    assert "damaged or truncated" in refusal(read_state_dict, path)


def test_onnx_file_is_no_state_dict(path: Path) -> None:
    path.write_bytes(onnx_bytes())
    text = refusal(read_state_dict, path)
    assert "read from a torch state_dict (.pt, .pth) or .safetensors" in text
