import argparse
import datetime
import os
from collections import OrderedDict
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch  # noqa: TID253 - in a process without TensorFlow

from convert.checkpoint import anchored, load_strictly, read_checkpoint, read_state_dict
from convert.checkpoint.torch_file import AVERAGED, WRAPPERS
from tests.convert.checkpoint_files import (
    Plants,
    network,
    onnx_bytes,
    refusal,
    safetensors_bytes,
    saved,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "weights.bin"


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = network().state_dict()
    return found


def prefixed(prefix: str, state: dict[str, torch.Tensor]) -> OrderedDict[str, torch.Tensor]:
    return OrderedDict((prefix + name, value) for name, value in state.items())


def plus_one(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value + 1 for name, value in state.items()}


def assert_same(found: dict[str, Any], state: dict[str, torch.Tensor]) -> None:
    assert found.keys() == state.keys()
    for name, value in state.items():
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize("wrapper", [*WRAPPERS, *AVERAGED])
def test_wrapper_is_taken_off_whatever_stands_beside_it(
    path: Path, state: dict[str, torch.Tensor], wrapper: str
) -> None:
    optimizer = torch.optim.Adam(network().parameters()).state_dict()
    beside = {"epoch": 4, "optimizer": optimizer, "loss": 0.5, "best": None, "names": ["a", "b"]}
    path.write_bytes(saved({**beside, wrapper: OrderedDict(state)}))
    assert_same(read_state_dict(path), state)


def test_wrapper_in_a_wrapper_is_taken_off(path: Path, state: dict[str, torch.Tensor]) -> None:
    path.write_bytes(saved({"model": {"state_dict": state, "arch": "net"}, "epoch": 4}))
    assert_same(read_state_dict(path), state)


@pytest.mark.parametrize("average", AVERAGED)
def test_average_is_preferred(path: Path, state: dict[str, torch.Tensor], average: str) -> None:
    path.write_bytes(saved({"model": state, average: prefixed("module.", plus_one(state))}))
    assert_same(read_state_dict(path), plus_one(state))


def test_average_of_a_part_is_not_taken(path: Path, state: dict[str, torch.Tensor]) -> None:
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
def test_prefixes_of_training_are_taken_off(
    path: Path, state: dict[str, torch.Tensor], prefix: str
) -> None:
    path.write_bytes(saved(prefixed(prefix, state)))
    assert_same(read_state_dict(path), state)


def test_prefix_that_not_all_keys_share_stays(path: Path) -> None:
    mixed = {"module.a": torch.zeros(1), "b": torch.zeros(1)}
    path.write_bytes(saved(mixed))
    assert_same(read_state_dict(path), mixed)


@pytest.mark.parametrize("prefix", ["model.", "net.", "backbone.", "model.module.", "a.b.c."])
def test_strict_loading_takes_a_common_prefix_off(
    path: Path, state: dict[str, torch.Tensor], prefix: str
) -> None:
    beside = {"criterion.weight": torch.ones(7), "val_loss_fn.pos_weight": torch.ones(7)}
    module = network()
    load_strictly(module, {**prefixed(prefix, plus_one(state)), **beside}, path=path)
    assert_same(module.state_dict(), plus_one(state))


def test_prefix_is_told_where_the_first_key_ends_others_too(path: Path) -> None:
    def nested() -> torch.nn.Module:
        inner = network()
        inner.add_module("bn", torch.nn.BatchNorm2d(4))
        return torch.nn.Sequential(OrderedDict(bn=torch.nn.BatchNorm2d(4), inner=inner))

    state = plus_one(nested().state_dict())
    assert min(state) == "bn.bias"
    module = nested()
    load_strictly(module, prefixed("model.", state), path=path)
    assert_same(module.state_dict(), state)


def test_strict_loading_keeps_a_prefix_that_is_the_networks_own(
    path: Path, state: dict[str, torch.Tensor]
) -> None:
    module = torch.nn.Module()
    module.model = network()
    load_strictly(module, prefixed("model.", plus_one(state)), path=path)
    assert_same(dict(module.model.state_dict()), plus_one(state))
    load_strictly(module, prefixed("model.model.", state), path=path)
    assert_same(dict(module.model.state_dict()), state)


def test_ignored_keys_may_stand_under_the_prefix(
    path: Path, state: dict[str, torch.Tensor]
) -> None:
    given = prefixed("model.", {**state, "fc.weight": torch.zeros(2)})
    load_strictly(network(), given, path=path, ignore=("fc.*",))


def test_two_networks_under_two_prefixes_are_refused(
    path: Path, state: dict[str, torch.Tensor]
) -> None:
    both = {**prefixed("student.", state), **prefixed("teacher.", state)}
    text = refusal(lambda p: load_strictly(network(), both, path=p), path)
    assert "14 unexpected (student.0.bias, " in text


def test_rest_beside_a_prefix_is_refused(path: Path, state: dict[str, torch.Tensor]) -> None:
    given = {**prefixed("model.", state), "decoder.weight": torch.zeros(1)}
    text = refusal(lambda p: load_strictly(network(), given, path=p), path)
    assert "8 unexpected (decoder.weight, model.0.bias, " in text


def test_anchor_tells_the_prefix_where_keys_are_looked_at_before_loading(
    path: Path, state: dict[str, torch.Tensor]
) -> None:
    path.write_bytes(saved({"state_dict": prefixed("model.", state), "epoch": 1}))
    assert_same(read_state_dict(path, anchors=("conv.weight", "0.weight")), state)
    assert anchored(state, "0.weight") == state
    assert anchored(state, "nowhere") == state
    other = {"metric.weight": torch.zeros(1), "teacher.metric.weight": torch.zeros(1)}
    assert anchored(other, "metric.weight") == other


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
    found = read_state_dict(path)
    assert found["b"].tolist() == [[0, 2], [1, 3]]
    assert not found["a"].requires_grad


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (torch.full((2,), 1e300, dtype=torch.float64), "a holds NaN or infinity"),
        (torch.zeros(1).expand(10**6), "a claims the shape (1000000,) of 4 bytes; damaged"),
        (torch.eye(3).to_sparse(), "a is sparse, quantized or empty; needed: values"),
        (torch.zeros(3, device="meta"), "a is sparse, quantized or empty; needed: values"),
    ],
    ids=["beyond float32", "unfolded", "sparse", "meta"],
)
def test_tensors_that_are_no_weights_are_refused(
    path: Path, value: torch.Tensor, says: str
) -> None:
    path.write_bytes(saved({"a": value}))
    assert says in refusal(read_state_dict, path)


def test_settings_of_training_scripts_are_read_as_values(
    path: Path, state: dict[str, torch.Tensor]
) -> None:
    given = {
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
    path.write_bytes(saved(given))
    found = read_checkpoint(path)
    assert_same(read_state_dict(path), state)
    assert (found["args"]["arch"], found["args"]["lr"]) == ("b3", 0.5)
    assert found["config"]["img_size"] == 300
    assert (found["epoch"], found["best"], found["fast"]) == (7, 0.75, True)
    assert (found["word"], found["big_endian"]) == ("été", [1, 2])
    assert (found["classes"], found["objects"]) == (["angry", "sad"], ["a", "b"])
    assert {type(found[name]).__module__ for name in ("when", "torch")} == {
        "convert.checkpoint.stand_ins"
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
    path.write_bytes(saved({"state_dict": state, "beside": settings[place]}))
    assert "would have to run code to load" in refusal(read_state_dict, path)
    assert not (tmp_path / "planted").exists()


def test_functions_by_name_are_refused(path: Path, state: dict[str, torch.Tensor]) -> None:
    path.write_bytes(saved({"state_dict": state, "after": os.system}))
    assert "posix.system" in refusal(read_state_dict, path)


def test_what_holds_no_state_says_what_it_holds(path: Path) -> None:
    path.write_bytes(saved({"backbone": {"a": torch.zeros(1)}, "head": {}, "epoch": 3}))
    text = refusal(read_state_dict, path)
    assert "'backbone' is a dict; a state_dict holds tensors, bare or under state_dict, " in text
    assert "found: backbone, head, epoch" in text


def test_missing_and_unexpected_keys_are_named_together(path: Path) -> None:
    state = {"0.weight": torch.zeros(4, 3, 3, 3), "fc.weight": torch.zeros(2), "z": torch.zeros(1)}
    text = refusal(lambda p: load_strictly(network(), state, path=p), path)
    assert "not the keys of Sequential" in text
    assert "5 missing (0.bias, 1.bias, 1.running_mean, 1.running_var, ...)" in text
    assert "2 unexpected (fc.weight, z)" in text
    assert text.endswith("3 keys found, 7 needed")


def test_wrong_shape_is_named_with_both_shapes(path: Path, state: dict[str, torch.Tensor]) -> None:
    state["0.weight"] = torch.zeros(4, 1, 3, 3)
    text = refusal(lambda p: load_strictly(network(), state, path=p), path)
    assert text.endswith("0.weight has shape (4, 1, 3, 3); needed: (4, 3, 3, 3)")


def test_wrong_class_count_is_told_from_another_network(path: Path) -> None:
    def classifier(count: int) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Linear(5, 6), torch.nn.Linear(6, count))

    state = classifier(8).state_dict()
    text = refusal(lambda p: load_strictly(classifier(7), state, path=p), path)
    assert "1.weight has shape (8, 6); needed: (7, 6), and 1 more differ" in text
    assert text.endswith("the file has 8 classes, this model 7")


@pytest.mark.parametrize("widths", [(5, 6, 9), (5, 8, 8)], ids=["three layers", "inside"])
def test_wider_network_is_no_class_count(path: Path, widths: tuple[int, int, int]) -> None:
    def layers(*widths: int) -> torch.nn.Module:
        linear = (torch.nn.Linear(*pair, bias=False) for pair in pairwise(widths))
        return torch.nn.Sequential(*linear)

    state = layers(*widths, 7, 3).state_dict()
    text = refusal(lambda p: load_strictly(layers(5, 6, 8, 7, 2), state, path=p), path)
    assert "more differ" in text
    assert "classes" not in text


def test_ignored_and_batch_counting_keys_may_differ(
    path: Path, state: dict[str, torch.Tensor]
) -> None:
    state["aux.head"] = torch.zeros(1)
    del state["1.num_batches_tracked"]
    load_strictly(network(), state, path=path, ignore=("aux.*",))


def test_safetensors_file_is_read(path: Path) -> None:
    state = {"a": torch.tensor([1.5, 2.0]), "b": torch.ones(2, 2).bfloat16(), "c": torch.ones(1)}
    path.write_bytes(safetensors_bytes(prefixed("module.", state)))
    found = read_state_dict(path)
    assert found.keys() == state.keys()
    assert torch.equal(found["a"], state["a"])
    assert found["b"].dtype == torch.float32


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_cut_safetensors_file_is_refused(path: Path, share: float) -> None:
    content = safetensors_bytes({"a": torch.ones(999)})
    path.write_bytes(content[: int(len(content) * share)])
    assert "damaged or truncated" in refusal(read_state_dict, path)


def test_onnx_file_is_no_state_dict(path: Path) -> None:
    path.write_bytes(onnx_bytes())
    text = refusal(read_state_dict, path)
    assert "read from a torch state_dict (.pt, .pth) or .safetensors" in text
