"""The full U-2-Net: its keys, its two forms, and what is not it."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from convert import recipe
from convert.errors import CheckpointError
from convert.export.frameworks.torch_module import TorchNetwork
from convert.export.numerics import ImageInput, StretchedAlpha
from convert.recipe import Loaded
from convert.weights.seeded import sample_input, seed_torch
from runtime.artifact.manifest import Resize
from tests.convert.support.parity import differences

PARITY = 1e-4
SMALL = 64  # px: the net is fully convolutional, and 320 is 25 times the work


def load(path: Path) -> Loaded:
    return recipe.find("background_u2net").recipe.load(path)


def test_full_net_has_upstreams_keys_and_sizes() -> None:
    import torch

    from convert.architectures.u2net import u2net, u2netp

    with torch.device("meta"):
        full, small = u2net(), u2netp()
    assert full.state_dict().keys() == small.state_dict().keys()
    # of xuebinqin/U-2-Net model/u2net.py: U2NET(3, 1) and U2NETP(3, 1)
    assert sum(p.numel() for p in full.parameters()) == 44_009_869
    assert sum(p.numel() for p in small.parameters()) == 1_131_181
    state = full.state_dict()
    for key, shape in {
        "stage1.rebnconvin.conv_s1.weight": (64, 3, 3, 3),
        "stage4.rebnconv4.conv_s1.weight": (128, 128, 3, 3),
        "stage6.rebnconv3d.bn_s1.bias": (256,),
        "stage5d.rebnconvin.conv_s1.weight": (512, 1024, 3, 3),
        "stage1d.rebnconv7.conv_s1.bias": (16,),
        "side6.weight": (1, 512, 3, 3),
        "outconv.weight": (1, 6, 1, 1),
    }.items():
        assert tuple(state[key].shape) == shape, key


def test_full_net_is_converted_only_when_named() -> None:
    assert "background_u2net" in recipe.model_ids()
    ids = [recipe_file.id for recipe_file in recipe.default_recipes()]
    assert "background_u2net" not in ids
    assert "background_u2netp" in ids


def test_small_nets_weights_are_not_the_full_nets(shared: Path) -> None:
    with pytest.raises(CheckpointError) as refused:
        load(shared / "checkpoints/u2netp.pth")
    assert "has shape" in str(refused.value)
    assert "python -m convert run background_u2netp" in str(refused.value)


def test_another_sizes_onnx_file_is_refused(tmp_path: Path) -> None:
    """Check that the count of weights decides: both sizes have equal inputs and outputs."""
    path = tmp_path / "net.onnx"
    shape = [1, 3, 320, 320]
    weight = numpy_helper.from_array(np.zeros((1, 3, 1, 1), np.float32), "weight")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["input.1", "weight"], ["d0"])],
        "g",
        [helper.make_tensor_value_info("input.1", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("d0", TensorProto.FLOAT, [1, 1, 320, 320])],
        [weight],
    )
    opset = [helper.make_opsetid("", 11)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=6), path)
    with pytest.raises(CheckpointError, match=r"0\.0 million weights; .* has 44\.0"):
        load(path)


def test_is_nets_onnx_file_of_the_same_size_is_refused(tmp_path: Path) -> None:
    """Check that the shapes of convolutions decide: IS-Net has no fusion of six side maps."""
    from convert.architectures.u2net import u2netp

    shapes = [tuple(p.shape) for p in u2netp().parameters() if p.ndim == 4]
    shapes.remove((1, 6, 1, 1))
    path = write_chain([*shapes, (6, 1, 1, 1)], tmp_path / "isnet.onnx")
    with pytest.raises(CheckpointError) as caught:
        recipe.find("background_u2netp").recipe.load(path)
    assert "lacks convolutions of (1, 6, 1, 1): no U-2-Net (IS-Net" in str(caught.value)


def write_chain(shapes: list[tuple[int, ...]], path: Path) -> Path:
    """Write an ONNX file of convolutions: each on the first channels that it needs, all added."""
    nodes, weights, outs = [], [], []
    for number, shape in enumerate(shapes):
        weights.append(numpy_helper.from_array(np.zeros(shape, np.float32), f"w{number}"))
        nodes += [
            helper.make_node("ReduceMean", ["input.1"], [f"m{number}"], axes=[1]),
            helper.make_node("Concat", [f"m{number}"] * shape[1], [f"c{number}"], axis=1),
            helper.make_node(
                "Conv", [f"c{number}", f"w{number}"], [f"y{number}"], pads=[shape[2] // 2] * 4
            ),
            helper.make_node("ReduceMean", [f"y{number}"], [f"o{number}"], axes=[1]),
        ]
        outs.append(f"o{number}")
    nodes.append(helper.make_node("Sum", outs, ["d0"]))
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("input.1", TensorProto.FLOAT, [1, 3, 320, 320])],
        [helper.make_tensor_value_info("d0", TensorProto.FLOAT, [1, 1, 320, 320])],
        weights,
    )
    opset = [helper.make_opsetid("", 11)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=6), path)
    return path


@pytest.mark.slow
def test_full_net_equals_its_graph(tmp_path: Path) -> None:
    from convert.architectures.u2net import u2net

    module: Any = u2net()
    loaded = Loaded(
        network=TorchNetwork(module, input_shape=(3, SMALL, SMALL)),
        input=ImageInput(SMALL, SMALL, 3, mean=(0.5,) * 3, std=(0.25,) * 3),
        head=StretchedAlpha(),
        preprocess=(Resize(height=SMALL, width=SMALL, interpolation="linear"),),
    )
    seed_torch(module, sample_input(loaded, media="scene"))
    batch = np.random.default_rng(4).integers(0, 256, (3, SMALL, SMALL, 3), dtype=np.uint8)
    errors = differences(loaded, batch, tmp_path)
    assert max(errors.values()) <= PARITY, errors
