"""YOLO11: upstream's numbers, every size, and checkpoints as owners save them."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch  # noqa: TID253 - in a process without TensorFlow
from torch import nn  # noqa: TID253

from convert import recipe
from convert.architectures.yolo11 import Yolo11, residual_norms
from convert.architectures.yolo11_plan import BLOCKS, Plan, plan, plan_of
from convert.checkpoint.labels import FER2013
from convert.models.face_emotion_yolo11n import RECIPE
from convert.quantize.quantizer import QuantizationConfig, Quantizer, all_op_types
from convert.recipe import Loaded
from convert.samples.procedural import EVALUATION, generate_images
from runtime.artifact.manifest import Letterbox, NmsConfig
from runtime.engine.session import Session
from runtime.media.images.preprocess import preprocess
from tests.convert.support.checkpoint_files import refusal, saved
from tests.convert.support.filled import filled, noise
from tests.convert.support.parity import (
    Batch,
    differences,
    expected,
    rows,
    write_float_graph,
)
from tests.convert.support.yolo_files import (
    CLASSES,
    TINY11,
    network,
    network11,
    upstreams,
    write,
    write_best,
)

ANCHORS = [0, 300, 600, 750]  # two of the finest map, one of each other
# the structure of l and x (all blocks are chains, two of each), of a few channels
DEEP = Plan(
    channels=(8, 16, 32, 64, 128),
    depth=2,
    nested=frozenset(BLOCKS),
    class_count=7,
    box_width=64,
    class_width=32,
)
ODD = Plan(
    channels=(8, 24, 40, 56, 72),
    depth=2,
    nested=frozenset((4, 22)),
    class_count=11,
    box_width=24,
    class_width=40,
    bins=6,
)
PLANS = {"n": plan("n", class_count=7), "deep": DEEP, "odd": ODD}
# of ultralytics 8.4.190's DetectionModel with seven classes, `filled`, second image of
# `noise(192)`: corners in px, scores. "deep" is its yolo11l.yaml with a width of 0.125
UPSTREAM = {
    "n": (
        [3.9068, 3.4572, 4.4973, 2.7929, 99.366, 97.7974, 100.6456, 97.1486,
         17.9112, 44.04, 9.5047, 37.7266, 27.5829, 191.5151, 4.9561, 175.6094],
        [0.576509, 0.639955, 0.313714, 0.54703, 0.49113, 0.335595, 0.405176,
         0.969642, 0.823647, 0.945816, 0.331875, 0.915873, 0.807129, 0.07842,
         0.984297, 0.159566, 0.772181, 0.693859, 0.150199, 0.950913, 0.977913,
         0.696684, 0.95159, 6.1e-05, 0.953231, 0.557645, 0.975426, 0.016858],
    ),
    "deep": (
        [9.4912, 1.685, 6.9025, -1.491, 99.3225, 105.4912, 97.5368, 97.1787,
         6.6451, 40.656, 12.63, 37.0648, 27.5829, 181.8705, 4.4171, 166.7278],
        [0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0,
         0.0, 1.0, 1.0, 1.0, 0.0, 1.0, 0.0,
         0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 1.0,
         0.0, 0.0, 4.4e-05, 0.0, 0.0, 1.0, 0.0],
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def tiny() -> Yolo11:
    return network11()


@pytest.fixture(scope="module")
def best(tiny: Yolo11, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_best(tmp_path_factory.mktemp("best") / "best.pt", tiny)


def images(loaded: Loaded, count: int = 3) -> Batch:
    return np.stack(
        [preprocess(i, loaded.preprocess) for i in generate_images("scene", EVALUATION, count)]
    )


def answers(module: nn.Module, image: torch.Tensor) -> tuple[Any, Any]:
    with torch.inference_mode():
        boxes, scores = module.eval()(image)
    return boxes.numpy(), scores.numpy()


def check_weights(loaded: Loaded, module: nn.Module, *, half: bool = False) -> None:
    weights = loaded.network.weights()
    for name, tensor in module.state_dict().items():
        value = tensor.half().float() if half and tensor.is_floating_point() else tensor
        np.testing.assert_array_equal(weights[f"inner.{name}"], value.numpy(), err_msg=name)


@pytest.mark.parametrize("size", UPSTREAM)
def test_answers_equal_upstreams(size: str) -> None:
    module = Yolo11(PLANS[size], height=192, width=192)
    module.load_state_dict(filled(module.state_dict()))
    boxes, scores = answers(module, noise(192))
    corners, recorded = UPSTREAM[size]
    # activations of the deep one grow, and rounding with them
    tolerance = 2e-3 if size == "n" else 2e-2
    np.testing.assert_allclose(boxes[1, ANCHORS].ravel(), corners, rtol=0, atol=tolerance)
    np.testing.assert_allclose(scores[1, ANCHORS].ravel(), recorded, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("size", "tensors", "parameters"),
    [
        ("n", 499, 2_624_080),
        ("s", 499, 9_458_752),
        ("m", 649, 20_114_688),
        ("l", 1015, 25_372_160),
        ("x", 1015, 56_966_176),
    ],
)
def test_sizes_equal_upstreams_and_are_read_from_shapes(
    size: str, tensors: int, parameters: int
) -> None:
    with torch.device("meta"):
        module = Yolo11(plan(size, class_count=80), height=64, width=64)
    state = module.state_dict()
    assert len(state) == tensors
    # upstream counts the bins' sixteen numbers as parameters that are not trained
    assert sum(p.numel() for p in module.parameters()) + 16 == parameters
    assert plan_of(state) == plan(size, class_count=80)


@pytest.mark.parametrize(("size", "heads"), [("n", 2), ("s", 4), ("m", 4), ("l", 4), ("x", 6)])
def test_attention_heads_are_64_channels_wide(size: str, heads: int) -> None:
    assert plan(size, class_count=7).heads == heads
    assert ODD.heads == 1


@pytest.mark.parametrize("size", PLANS)
def test_float_graph_equals_the_module_alone_and_three_at_a_time(size: str, tmp_path: Path) -> None:
    module = network11(PLANS[size])
    names = [*"abcdefghijk"] if size == "odd" else list(FER2013)
    loaded = RECIPE.load(write_best(tmp_path / "best.pt", module, names=names))
    check_weights(loaded, module, half=True)
    assert loaded.labels == tuple(names)
    errors = differences(loaded, images(loaded), tmp_path)
    assert max(errors.values()) <= 1e-4


def test_batch_is_free_and_all_else_is_constant(best: Path, tmp_path: Path) -> None:
    model = write_float_graph(RECIPE.load(best), tmp_path / "float.onnx")
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {"image": ["N", 64, 64, 3], "boxes_xyxy": ["N", 84, 4], "scores": ["N", 84, 3]}
    assert {node.op_type for node in model.graph.node}.isdisjoint({"Shape", "Range", "Gather"})


def test_integer_graph_keeps_its_scores(best: Path, tmp_path: Path) -> None:
    loaded = RECIPE.load(best)
    model = write_float_graph(loaded, tmp_path / "float.onnx")
    batch = images(loaded, 6)
    integer = Quantizer(model, rows(batch)).quantize(QuantizationConfig(all_op_types()))
    (tmp_path / "int8.onnx").write_bytes(integer.SerializeToString())
    reference = expected(loaded, batch)["scores"]
    quantized = Session(tmp_path / "int8.onnx").run({"image": batch})["scores"]
    assert np.corrcoef(reference.ravel(), quantized.ravel())[0, 1] > 0.95


def test_damped_branches_are_those_that_are_added() -> None:
    module = network11(ODD)
    names = dict(module.named_parameters())
    damped = residual_norms(module)
    assert set(damped) <= set(names)
    # of eight blocks with two parts each, two have two bottlenecks per part; two attention blocks
    assert len(damped) == 6 * 2 + 2 * 2 * 2 + 2 * 2


def test_best_pt_is_read_with_its_settings(best: Path, tiny: Yolo11) -> None:
    loaded = RECIPE.load(best)
    check_weights(loaded, tiny, half=True)
    assert loaded.labels == CLASSES
    assert loaded.licence == "AGPL-3.0 License"
    assert loaded.preprocess == (Letterbox(height=64, width=64, interpolation="linear"),)
    assert loaded.suppression == NmsConfig(0.25, 0.7, 300)
    assert loaded.assumptions == ()


@pytest.mark.parametrize("average", [True, False])
def test_the_average_comes_before_the_model(tiny: Yolo11, tmp_path: Path, average: bool) -> None:
    last = deepcopy(tiny)
    nn.init.constant_(last.get_parameter("model.0.bn.bias"), 0.25)
    root = {
        "model": upstreams(last).half(),
        "ema": upstreams(tiny).half() if average else None,
        "train_args": {"imgsz": 96},
    }
    loaded = RECIPE.load(write(tmp_path / "last.pt", root))
    check_weights(loaded, tiny if average else last, half=True)
    assert loaded.input.tensors[0].shape == ("N", 96, 96, 3)


@pytest.mark.parametrize("prefix", ["", "model.model."])
def test_state_dict_is_read_with_a_warning(tiny: Yolo11, tmp_path: Path, prefix: str) -> None:
    state = {prefix + k.removeprefix("model."): v for k, v in tiny.state_dict().items()}
    path = tmp_path / "state.pt"
    path.write_bytes(saved({"state_dict": state}))
    loaded = RECIPE.load(path)
    check_weights(loaded, tiny)
    assert loaded.labels == ()
    (fact,) = loaded.assumptions
    assert (fact.name, fact.value, fact.origin) == ("pool_activation", "SiLU", "default")


def test_network_saved_after_folding_answers_the_same(tiny: Yolo11, tmp_path: Path) -> None:
    module = upstreams(deepcopy(tiny))
    for part in module.modules():
        if type(part).__name__ in ("Conv", "DWConv"):
            part.conv = torch.nn.utils.fusion.fuse_conv_bn_eval(part.conv, part.bn)
            del part.bn
    loaded = RECIPE.load(write(tmp_path / "fused.pt", {"model": module}))
    batch = images(loaded)
    boxes, scores = answers(tiny, torch.from_numpy(loaded.input.apply(batch)[0]))
    answer = expected(loaded, batch)
    np.testing.assert_allclose(answer["boxes_xyxy"], boxes, rtol=0, atol=0.02)
    np.testing.assert_allclose(answer["scores"], scores, rtol=0, atol=1e-4)


def test_pooling_block_without_activation_is_read_as_such(tiny: Yolo11, tmp_path: Path) -> None:
    module = upstreams(tiny)
    module.get_submodule("model.9.cv1").act = nn.Identity()
    loaded = RECIPE.load(write(tmp_path / "best.pt", {"model": module}))
    changed = Yolo11(replace(TINY11, pool_activation=False), height=64, width=64)
    changed.load_state_dict(tiny.state_dict())
    batch = images(loaded)
    image = torch.from_numpy(loaded.input.apply(batch)[0])
    scores = expected(loaded, batch)["scores"]
    np.testing.assert_allclose(scores, answers(changed, image)[1], rtol=0, atol=1e-5)
    assert np.abs(scores - answers(tiny, image)[1]).max() > 1e-3


def _set(name: str, attribute: str, value: object) -> Callable[[Any], None]:
    return lambda module: setattr(module.get_submodule(name), attribute, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("model.10.m.0.attn", "num_heads", 2), "model.10.m.0.attn.num_heads is not 1"),
        (_set("model.10.m.0.attn", "num_heads", "a"), "attn.num_heads is not a count"),
        (_set("model.10.m.0.attn", "head_dim", -1), "attn.num_heads is not a count"),
        (_set("model.10.m.0.attn", "key_dim", 5), "model.10.m.0.attn.key_dim is not 10"),
        (_set("model.10.m.0.attn", "scale", 1.0), "model.10.m.0.attn.scale is not 0.316"),
        (_set("model.10.m.0", "add", False), "model.10.m.0.add is not True"),
        (_set("model.10.m.0.attn.pe", "act", nn.SiLU()), "SiLU of model.10.m.0.attn.pe; needed: I"),
        (_set("model.10.m.0.ffn.1", "act", nn.SiLU()), "SiLU of model.10.m.0.ffn.1; needed: Id"),
        (_set("model.10.m.0.ffn.0", "act", nn.Identity()), "model.10.m.0.ffn.0; needed: SiLU"),
        (_set("model.23.cv3.0.0.0", "act", nn.ReLU()), "ReLU of model.23.cv3.0.0.0; needed: SiLU"),
        (_set("model.13.m.0", "add", False), "model.13.m.0.add is not True"),
        (_set("model.9", "n", 4), "model.9.n is not 3"),
        (_set("model.18", "f", [-1, 12]), "model.18.f is not [-1, 13]"),
        (_set("model.23", "f", [16, 19, 21]), "model.23.f is not [16, 19, 22]"),
        (_set("model.20.conv", "stride", (1, 1)), "model.20.conv.stride is not (2, 2)"),
        (_set("model", "24", nn.SiLU()), "with SiLU; needed: ultralytics.nn.tasks.DetectionModel"),
        (_set("model.23", "one2one_cv2", nn.Conv2d(1, 1, 1)), "one-to-one heads"),
    ],
)
def test_another_network_under_the_same_name_is_refused(
    tiny: Yolo11, tmp_path: Path, change: Callable[[Any], None], message: str
) -> None:
    module = upstreams(tiny)
    change(module)
    assert message in refusal(RECIPE.load, write(tmp_path / "best.pt", {"model": module}))


def test_yolo26_is_refused_by_its_name_with_the_way_out(tiny: Yolo11, tmp_path: Path) -> None:
    module = upstreams(tiny, yaml={"yaml_file": "yolo26n.yaml"})
    inner = module.get_submodule("model.22.m.0")
    module.get_submodule("model.22.m").add_module("0", nn.Sequential(inner))
    text = refusal(RECIPE.load, write(tmp_path / "best.pt", {"model": module}))
    assert (
        "YOLO26 detection (ultralytics.nn.tasks.DetectionModel of 'yolo26n.yaml'); needed" in text
    )
    assert "YOLO11 detection (face_emotion_yolo11n); write a recipe of your own" in text


def test_yolov8_is_refused_with_the_command_that_converts_it(tmp_path: Path) -> None:
    path = write_best(tmp_path / "best.pt", network())
    assert f"run face_emotion_yolov8n --checkpoint {path}`" in refusal(RECIPE.load, path)


def test_absurd_shapes_do_not_fill_the_memory() -> None:
    layers = {f"model.{i}.conv.weight": torch.zeros(100_000, 1, 1, 1) for i in (0, 1, 3, 5, 7)}
    limited = plan_of(layers | {"model.23.cv3.0.2.weight": torch.zeros(100_000, 1)})
    assert limited.channels == (2048,) * 5
    assert limited.class_count == 10_000


def test_it_is_converted_only_when_named() -> None:
    assert "face_emotion_yolo11n" in recipe.model_ids()
    assert "face_emotion_yolo11n" not in [file.id for file in recipe.default_recipes()]
