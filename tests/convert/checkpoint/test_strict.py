from collections import OrderedDict
from itertools import pairwise
from pathlib import Path

import pytest
import torch  # noqa: TID253 - in a process without TensorFlow

from convert.checkpoint import load_strictly
from tests.convert.support.checkpoint_files import (
    assert_same,
    network,
    plus_one,
    prefixed,
    refusal,
)


@pytest.mark.parametrize("prefix", ["model.", "net.", "backbone.", "model.module.", "a.b.c."])
def test_a_common_prefix_is_removed(
    path: Path, state: dict[str, torch.Tensor], prefix: str
) -> None:
    extras = {"criterion.weight": torch.ones(7), "val_loss_fn.pos_weight": torch.ones(7)}
    module = network()
    load_strictly(module, {**prefixed(prefix, plus_one(state)), **extras}, path=path)
    assert_same(module.state_dict(), plus_one(state))


def test_prefix_is_found_if_the_first_key_ends_other_keys_too(path: Path) -> None:
    def nested() -> torch.nn.Module:
        inner = network()
        inner.add_module("bn", torch.nn.BatchNorm2d(4))
        return torch.nn.Sequential(OrderedDict(bn=torch.nn.BatchNorm2d(4), inner=inner))

    state = plus_one(nested().state_dict())
    assert min(state) == "bn.bias"
    module = nested()
    load_strictly(module, prefixed("model.", state), path=path)
    assert_same(module.state_dict(), state)


def test_a_prefix_of_the_network_itself_stays(path: Path, state: dict[str, torch.Tensor]) -> None:
    module = torch.nn.Module()
    module.model = network()
    load_strictly(module, prefixed("model.", plus_one(state)), path=path)
    assert_same(dict(module.model.state_dict()), plus_one(state))
    load_strictly(module, prefixed("model.model.", state), path=path)
    assert_same(dict(module.model.state_dict()), state)


def test_ignored_keys_may_have_the_prefix(path: Path, state: dict[str, torch.Tensor]) -> None:
    module = network()
    whole = prefixed("model.", {**plus_one(state), "fc.weight": torch.zeros(2)})
    load_strictly(module, whole, path=path, ignore=("fc.*",))
    assert_same(module.state_dict(), plus_one(state))


def test_two_networks_under_two_prefixes_are_refused(
    path: Path, state: dict[str, torch.Tensor]
) -> None:
    both = {**prefixed("student.", state), **prefixed("teacher.", state)}
    text = refusal(lambda p: load_strictly(network(), both, path=p), path)
    assert "14 unexpected (student.0.bias, " in text


def test_keys_outside_the_prefix_are_refused(path: Path, state: dict[str, torch.Tensor]) -> None:
    whole = {**prefixed("model.", state), "decoder.weight": torch.zeros(1)}
    text = refusal(lambda p: load_strictly(network(), whole, path=p), path)
    assert "8 unexpected (decoder.weight, model.0.bias, " in text


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


def test_wrong_class_count_is_named_as_such(path: Path) -> None:
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
    module = network()
    old = {**plus_one(state), "aux.head": torch.zeros(1)}
    del old["1.num_batches_tracked"]
    load_strictly(module, old, path=path, ignore=("aux.*",))
    count = {"1.num_batches_tracked": torch.tensor(0)}
    assert_same(module.state_dict(), {**plus_one(state), **count})
