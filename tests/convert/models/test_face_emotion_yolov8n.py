"""YOLOv8: upstream's numbers, every size, and checkpoints as owners save them."""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch  # noqa: TID253 - in a process without TensorFlow
from torch import nn  # noqa: TID253

from convert.architectures.mobilenetv2 import MobileNetV2
from convert.architectures.yolov8 import RESIDUAL_NORMS, YoloV8, head
from convert.architectures.yolov8_plan import Plan, plan, plan_of
from convert.checkpoint import unpickle
from convert.checkpoint.keys import matches
from convert.checkpoint.labels import FER2013
from convert.export.frameworks.torch_module import TorchNetwork
from convert.models.face_emotion_yolov8n import RECIPE
from convert.quantize.quantizer import QuantizationConfig, Quantizer, all_op_types
from convert.recipe import Loaded
from convert.samples.procedural import EVALUATION, generate_images
from runtime.artifact.manifest import Letterbox, NmsConfig
from runtime.engine.session import Session
from runtime.media.images.preprocess import preprocess
from runtime.predict.detection import non_max_suppression
from tests.convert.support.checkpoint_files import refusal, saved
from tests.convert.support.filled import filled, noise
from tests.convert.support.parity import (
    Batch,
    compared,
    differences,
    expected,
    read_images,
    rows,
    write_float_graph,
)
from tests.convert.support.yolo_files import (
    CLASSES,
    TINY,
    network,
    network11,
    sized,
    upstreams,
    write,
    write_best,
)

UPSTREAM_TASKS = "ultralytics.nn.tasks"
ANCHORS = [0, 300, 600, 750]  # two of the finest map, one of each other
# of ultralytics 8.4.190's DetectionModel with seven classes, `filled`, second image of `noise(192)`
# (the pooling block needs a map of more than two cells to be seen): corners in px, scores
UPSTREAM = {
    "n": (
        [3.8101, 4.4381, 4.6532, 2.86, 98.6982, 103.8244, 99.7697, 96.1061,
         7.1403, 35.4078, 9.8056, 37.2929, 18.0434, 176.4828, 7.0337, 169.7651],
        [0.978579, 0.768968, 0.755284, 0.934084, 0.089533, 0.620511, 0.030835,
         0.059388, 0.995011, 0.114856, 0.90689, 0.560988, 0.923628, 0.104315,
         0.765605, 0.755716, 0.057557, 0.781083, 0.443759, 0.60347, 0.35251,
         0.21265, 0.451528, 0.395906, 0.722978, 0.847074, 0.882356, 0.322951],
    ),
    "m": (
        [4.0497, 7.9012, 3.7361, 4.5627, 100.0499, 98.8685, 100.5668, 101.3021,
         10.604, 38.8663, 8.6478, 42.263, 4.749, 170.8188, 15.8006, 178.2674],
        [1.0, 0.999992, 1.0, 0.004124, 1.0, 1.0, 1.0,
         1.0, 1.0, 0.202077, 1.0, 1.0, 1.0, 0.0,
         1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 1.0,
         0.0, 0.014794, 1.0, 0.0, 1.0, 0.028902, 1.0],
    ),
}  # fmt: skip
ODD = Plan(
    channels=(8, 24, 40, 56, 72),
    depths=(2, 3),
    class_count=11,
    box_width=24,
    class_width=40,
    bins=6,
)


@pytest.fixture(scope="module")
def tiny() -> YoloV8:
    return network()


@pytest.fixture(scope="module")
def best(tiny: YoloV8, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_best(tmp_path_factory.mktemp("best") / "best.pt", tiny)


@pytest.fixture(scope="module")
def real(shared: Path) -> Loaded:
    return RECIPE.load(shared / "checkpoints/yolov8n_coco_best.pt")


def answers(module: nn.Module, image: torch.Tensor) -> tuple[Any, Any]:
    with torch.inference_mode():
        boxes, scores = module.eval()(image)
    return boxes.numpy(), scores.numpy()


def images(loaded: Loaded, count: int = 3) -> Batch:
    return np.stack(
        [preprocess(i, loaded.preprocess) for i in generate_images("scene", EVALUATION, count)]
    )


def check_weights(loaded: Loaded, module: nn.Module, *, half: bool = False) -> None:
    weights = loaded.network.weights()
    for name, tensor in module.state_dict().items():
        value = tensor.half().float() if half and tensor.is_floating_point() else tensor
        np.testing.assert_array_equal(weights[f"inner.{name}"], value.numpy(), err_msg=name)


@pytest.mark.parametrize("size", UPSTREAM)
def test_answers_equal_upstreams(size: str) -> None:
    module = YoloV8(plan(size, class_count=7), height=192, width=192)
    module.load_state_dict(filled(module.state_dict()))
    boxes, scores = answers(module, noise(192))
    corners, recorded = UPSTREAM[size]
    np.testing.assert_allclose(boxes[1, ANCHORS].ravel(), corners, rtol=0, atol=2e-3)
    np.testing.assert_allclose(scores[1, ANCHORS].ravel(), recorded, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("size", "tensors", "parameters"),
    [
        ("n", 355, 3_157_200),
        ("s", 355, 11_166_560),
        ("m", 475, 25_902_640),
        ("l", 595, 43_691_520),
        ("x", 595, 68_229_648),
    ],
)
def test_sizes_equal_upstreams_and_are_read_from_shapes(
    size: str, tensors: int, parameters: int
) -> None:
    with torch.device("meta"):
        module = YoloV8(plan(size, class_count=80), height=64, width=64)
    state = module.state_dict()
    assert len(state) == tensors
    # upstream counts the bins' sixteen numbers as parameters that are not trained
    assert sum(p.numel() for p in module.parameters()) + 16 == parameters
    assert plan_of(state) == plan(size, class_count=80)


def test_boxes_are_cell_centers_moved_by_the_expected_sides() -> None:
    detect = head((8, 8, 8), TINY, height=64, width=96)
    for parameter in detect.parameters():
        nn.init.zeros_(parameter)
    for branch in detect.cv2:
        # left and bottom surely three cells; top and right: all sixteen bins alike, 7.5
        bias = branch.get_parameter("2.bias").detach().reshape(4, 16)
        bias[[0, 3], 3] = 100.0
    for branch in detect.cv3:
        branch.get_parameter("2.bias").detach()[1] = np.log(3)
    maps = tuple(torch.zeros(2, 8, 64 // stride, 96 // stride) for stride in (8, 16, 32))
    boxes, scores = detect.eval()(maps)
    assert boxes.shape == (2, 8 * 12 + 4 * 6 + 2 * 3, 4)
    # second cell of the second row of each map: its centre is 1.5 cells from the top left
    for anchor, stride in ((12 + 1, 8), (96 + 6 + 1, 16), (96 + 24 + 3 + 1, 32)):
        corners = np.array([1.5 - 3, 1.5 - 7.5, 1.5 + 7.5, 1.5 + 3]) * stride
        np.testing.assert_allclose(boxes[1, anchor].detach(), corners, rtol=0, atol=1e-4)
    np.testing.assert_allclose(scores[0, :2].detach(), [[0.5, 0.75, 0.5]] * 2, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    "size",
    ["n", "s", "odd"],  # the others differ in width alone, and in depth as "odd" does
)
def test_float_graph_equals_the_module_alone_and_three_at_a_time(
    size: str, best: Path, tmp_path: Path
) -> None:
    module = network(ODD) if size == "odd" else sized(size)
    net = TorchNetwork(module, input_shape=(3, 64, 64), outputs=2)
    loaded = replace(RECIPE.load(best), network=net)
    errors = differences(loaded, images(loaded), tmp_path)
    assert max(errors.values()) <= 1e-4


def test_seeded_answers_differ_and_its_graph_equals_them(tmp_path: Path) -> None:
    assert RECIPE.seed is not None
    loaded = RECIPE.seed()
    assert loaded.labels == FER2013
    batch = images(loaded)
    reference = expected(loaded, batch)
    assert reference["boxes_xyxy"].shape == (3, 8400, 4)
    assert 1e-3 < reference["scores"].std() < 0.3
    assert np.abs(reference["scores"][0] - reference["scores"][1]).max() > 0.01
    write_float_graph(loaded, tmp_path / "float.onnx")
    assert max(compared(reference, tmp_path / "float.onnx", batch).values()) <= 1e-4


def test_batch_is_free_and_all_else_is_constant(best: Path, tmp_path: Path) -> None:
    model = write_float_graph(RECIPE.load(best), tmp_path / "float.onnx")
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in (*model.graph.input, *model.graph.output)
    }
    assert shapes == {"image": ["N", 64, 64, 3], "boxes_xyxy": ["N", 84, 4], "scores": ["N", 84, 3]}
    assert {node.op_type for node in model.graph.node}.isdisjoint({"Shape", "Range", "Gather"})


def test_integer_head_keeps_its_scores(best: Path, tmp_path: Path) -> None:
    loaded = RECIPE.load(best)
    model = write_float_graph(loaded, tmp_path / "float.onnx")
    batch = images(loaded, 6)
    quantizer = Quantizer(model, rows(batch))
    integer = quantizer.quantize(QuantizationConfig(all_op_types()))
    # behind the last convolutions nothing is rounded: neither the bins' mean nor scores and boxes
    rounded = {n.input[0] for n in integer.graph.node if n.op_type == "QuantizeLinear"}
    makers = {name: node.op_type for node in integer.graph.node for name in node.output}
    assert {makers.get(name, "") for name in rounded}.isdisjoint(
        {"Softmax", "ReduceSum", "Reshape"}
    )
    onnx.save(integer, tmp_path / "int8.onnx")
    reference = expected(loaded, batch)["scores"]
    quantized = Session(tmp_path / "int8.onnx").run({"image": batch})["scores"]
    correlation = np.corrcoef(reference.ravel(), quantized.ravel())[0, 1]
    assert correlation > 0.95
    assert abs(float(quantized.max() - reference.max())) < 0.1


def test_damped_branches_exist() -> None:
    names = [name for name, _ in network(ODD).named_parameters()]
    # two, three, three and two bottlenecks, in the backbone alone
    assert sum(matches(name, RESIDUAL_NORMS) for name in names) == 2 + 3 + 3 + 2


def test_best_pt_is_read_with_its_settings(best: Path, tiny: YoloV8) -> None:
    loaded = RECIPE.load(best)
    check_weights(loaded, tiny, half=True)
    assert loaded.labels == CLASSES
    assert loaded.licence == "AGPL-3.0 License"
    assert loaded.preprocess == (Letterbox(height=64, width=64, interpolation="linear"),)
    assert loaded.suppression == NmsConfig(0.25, 0.7, 300)
    assert loaded.assumptions == ()
    assert loaded.input.tensors[0].shape == ("N", 64, 64, 3)


@pytest.mark.parametrize("average", [True, False])
@pytest.mark.parametrize("half", [True, False])
def test_the_average_comes_before_the_model(
    tiny: YoloV8, tmp_path: Path, average: bool, half: bool
) -> None:
    last = deepcopy(tiny)
    nn.init.constant_(last.get_parameter("model.0.bn.bias"), 0.25)
    root = {"model": upstreams(last), "ema": upstreams(tiny) if average else None, "updates": 7}
    for module in root.values():
        if half and isinstance(module, nn.Module):
            module.half()
    loaded = RECIPE.load(write(tmp_path / "last.pt", root))
    check_weights(loaded, tiny if average else last, half=half)


@pytest.mark.parametrize("protocol", [2, 4, 5])
@pytest.mark.parametrize("wrapped", ["bare", "parallel"])
def test_a_module_saved_by_itself_is_read(
    tiny: YoloV8, tmp_path: Path, protocol: int, wrapped: str
) -> None:
    module = upstreams(tiny)
    root = nn.DataParallel(module) if wrapped == "parallel" else module
    loaded = RECIPE.load(write(tmp_path / "net.pt", root, pickle_protocol=protocol))
    check_weights(loaded, tiny)
    assert loaded.labels == CLASSES
    assert loaded.licence is None


@pytest.mark.parametrize("prefix", ["", "model.", "model.model.", "module.model."])
def test_state_dict_is_read_with_any_prefix(tiny: YoloV8, tmp_path: Path, prefix: str) -> None:
    state = {prefix + k.removeprefix("model."): v for k, v in tiny.state_dict().items()}
    path = tmp_path / "state.pt"
    path.write_bytes(saved({"state_dict": state, "names": ["a", "b", "c"]} if prefix else state))
    loaded = RECIPE.load(path)
    check_weights(loaded, tiny)
    assert loaded.labels == (("a", "b", "c") if prefix else ())
    # shapes do not tell the activation: it is assumed, with a warning
    assert [(fact.name, fact.origin) for fact in loaded.assumptions] == [
        ("pool_activation", "default")
    ]
    assert loaded.preprocess == (Letterbox(height=640, width=640, interpolation="linear"),)


def test_odd_widths_and_depths_are_read_from_the_file(tmp_path: Path) -> None:
    module = network(ODD)
    loaded = RECIPE.load(write_best(tmp_path / "odd.pt", module, names=[*"abcdefghijk"]))
    check_weights(loaded, module, half=True)
    assert loaded.labels == tuple("abcdefghijk")


def test_network_saved_after_folding_answers_the_same(tiny: YoloV8, tmp_path: Path) -> None:
    module = upstreams(deepcopy(tiny))
    for part in module.modules():
        if type(part).__name__ == "Conv":
            part.conv = torch.nn.utils.fusion.fuse_conv_bn_eval(part.conv, part.bn)
            del part.bn
    loaded = RECIPE.load(write(tmp_path / "fused.pt", {"model": module}))
    batch = images(loaded)
    boxes, scores = answers(tiny, torch.from_numpy(loaded.input.apply(batch)[0]))
    answer = expected(loaded, batch)
    np.testing.assert_allclose(answer["boxes_xyxy"], boxes, rtol=0, atol=0.02)  # of 500 px
    np.testing.assert_allclose(answer["scores"], scores, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("args", "side"),
    [
        ({"imgsz": 96}, 96),
        (SimpleNamespace(imgsz=96), 96),
        ({"imgsz": 100}, 640),
        ({"imgsz": "96"}, 640),
        ({"imgsz": True}, 640),
        ({"imgsz": [96, 96]}, 640),
        ({"imgsz": 32 * 1000}, 640),
        ({}, 640),
        (None, 640),
    ],
)
def test_input_size_is_that_of_training_if_it_is_valid(
    tiny: YoloV8, tmp_path: Path, args: object, side: int
) -> None:
    loaded = RECIPE.load(write_best(tmp_path / "best.pt", tiny, args=args))
    assert loaded.input.tensors[0].shape == ("N", side, side, 3)


def test_pooling_block_without_activation_is_read_as_such(tiny: YoloV8, tmp_path: Path) -> None:
    module = upstreams(tiny)
    module.get_submodule("model.9.cv1").act = nn.Identity()
    loaded = RECIPE.load(write(tmp_path / "best.pt", {"model": module}))
    changed = deepcopy(tiny)
    changed.get_submodule("model.9.cv1").act = nn.Identity()
    batch = images(loaded)
    image = torch.from_numpy(loaded.input.apply(batch)[0])
    scores = expected(loaded, batch)["scores"]
    np.testing.assert_allclose(scores, answers(changed, image)[1], rtol=0, atol=1e-5)
    assert np.abs(scores - answers(tiny, image)[1]).max() > 1e-3


def test_epsilon_is_the_files(tiny: YoloV8, tmp_path: Path) -> None:
    module = upstreams(tiny)
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.eps = 0.5
    loaded = RECIPE.load(write(tmp_path / "best.pt", {"model": module}))
    changed = YoloV8(replace(TINY, epsilon=0.5), height=64, width=64)
    changed.load_state_dict(tiny.state_dict())
    batch = images(loaded)
    scores = answers(changed, torch.from_numpy(loaded.input.apply(batch)[0]))[1]
    np.testing.assert_allclose(expected(loaded, batch)["scores"], scores, rtol=0, atol=1e-5)


def _set(name: str, attribute: str, value: object) -> Callable[[Any], None]:
    return lambda module: setattr(module.get_submodule(name), attribute, value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_set("model.0", "act", nn.ReLU()), "activation ReLU of model.0; needed: SiLU"),
        (_set("model.5", "act", nn.Identity()), "activation Identity of model.5; needed: SiLU"),
        (_set("model.9.cv1", "act", nn.ReLU()), "activation ReLU of model.9.cv1; needed: SiLU"),
        (_set("model.3.bn", "eps", 1e-5), "several epsilons; needed: 0.001"),
        (_set("model.3.bn", "eps", [1]), "several epsilons; needed: 0.001"),
        (_set("model.4.m.0", "add", False), "model.4.m.0.add is not True"),
        (_set("model.12.m.0", "add", True), "model.12.m.0.add is not False"),
        (_set("model.9", "add", True), "model.9.add is not False"),
        (_set("model.9.m", "kernel_size", 3), "model.9.m.kernel_size is not 5"),
        (_set("model.3.conv", "stride", (1, 1)), "model.3.conv.stride is not (2, 2)"),
        (_set("model.4.cv1.conv", "dilation", (2, 2)), "model.4.cv1.conv.dilation is not (1, 1)"),
        (_set("model.10", "mode", "bilinear"), "model.10.mode is not nearest"),
        (_set("model.20", "f", [-1, 8]), "model.20.f is not [-1, 9]"),
        (_set("model.22", "f", [12, 18, 21]), "model.22.f is not [15, 18, 21]"),
        (_set("model.0.conv", "weight", None), "1 missing (model.0.conv.weight)"),
        (_set("model", "23", nn.SiLU()), "with SiLU; needed: ultralytics.nn.tasks.DetectionModel"),
        (lambda module: delattr(module.model, "22"), "with 22 layers; needed"),
        (_set("", "names", {0: "a", 2: "b"}), "names: "),
        (_set("", "names", ["a", "b"]), "names 2 classes (a, b); its head has 3"),
        (_set("", "names", "abc"), "names: holds a str"),
        (_set("", "names", ["a", "b", "\ud800"]), "names: 'utf-8' codec"),
    ],
)
def test_another_network_under_the_same_name_is_refused(
    tiny: YoloV8, tmp_path: Path, change: Callable[[Any], None], message: str
) -> None:
    module = upstreams(tiny)
    change(module)
    assert message in refusal(RECIPE.load, write(tmp_path / "best.pt", {"model": module}))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(
    tiny: YoloV8, tmp_path: Path, value: float
) -> None:
    module = deepcopy(tiny)
    nn.init.constant_(module.get_parameter("model.2.cv1.bn.bias"), value)
    text = refusal(RECIPE.load, write_best(tmp_path / "best.pt", module))
    assert "model.2.cv1.bn.bias holds NaN or infinity" in text


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("model.22.proto.cv1.conv.weight", "YOLOv8 segmentation"),
        ("model.22.cv4.0.0.conv.weight", "YOLOv8 pose or oriented boxes"),
        ("model.9.linear.weight", "YOLOv8 classification"),
        ("24.m.0.weight", "YOLOv5 detection; needed"),
        ("model.24.cv2.0.0.conv.weight", "YOLOv5u detection; needed"),
        ("model.22.one2one_cv2.0.0.conv.weight", "YOLOv8 detection with one-to-one heads; needed"),
        ("model.29.cv2.0.0.conv.weight", "not the keys of YoloV8: nothing missing; 1 unexpected"),
    ],
)
def test_state_dict_of_a_relative_is_refused_by_name(
    tiny: YoloV8, tmp_path: Path, key: str, message: str
) -> None:
    path = tmp_path / "state.pt"
    path.write_bytes(saved({**tiny.state_dict(), key: torch.zeros(1)}))
    assert message in refusal(RECIPE.load, path)


def test_pickled_relatives_are_refused_by_name(tiny: YoloV8, tmp_path: Path) -> None:
    module = upstreams(tiny, yaml={"yaml_file": "yolov8n-seg.yaml"})
    module.__class__ = type("SegmentationModel", (nn.Module,), {"__module__": UPSTREAM_TASKS})
    text = refusal(RECIPE.load, write(tmp_path / "seg.pt", {"model": module}))
    assert (
        "YOLOv8 segmentation (ultralytics.nn.tasks.SegmentationModel of 'yolov8n-seg.yaml')" in text
    )
    assert "write a recipe of your own" in text


def test_yolo11_is_refused_with_the_command_that_converts_it(tmp_path: Path) -> None:
    module = network11()
    path = write_best(tmp_path / "best.pt", module)
    text = refusal(RECIPE.load, path)
    assert "YOLO11 detection (ultralytics.nn.tasks.DetectionModel of 'yolo11n.yaml')" in text
    assert f"`python -m convert run face_emotion_yolo11n --checkpoint {path}`" in text
    path.write_bytes(saved(module.state_dict()))
    assert f"run face_emotion_yolo11n --checkpoint {path}`" in refusal(RECIPE.load, path)


def test_a_state_dict_of_no_relative_is_sent_to_a_recipe_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    path.write_bytes(saved({"model.0.layer.0.bn.weight": torch.zeros(1)}))
    text = refusal(RECIPE.load, path)
    assert "not the keys of YOLOv8 detection" in text
    assert "write a recipe of your own" in text


def test_a_state_dict_of_another_known_network_is_sent_to_its_model(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    path.write_bytes(saved(MobileNetV2().state_dict()))
    assert "run image_embedding_mobilenetv2 --checkpoint" in refusal(RECIPE.load, path)


def test_a_damaged_state_dict_gets_no_other_advice(tmp_path: Path) -> None:
    state = sized("n").state_dict()
    del state["model.21.m.0.cv1.conv.weight"]  # which tells the network
    path = tmp_path / "state.pt"
    path.write_bytes(saved(state))
    text = refusal(RECIPE.load, path)
    assert "1 missing (model.21.m.0.cv1.conv.weight)" in text
    assert "convert run" not in text


def test_absurd_shapes_do_not_fill_the_memory() -> None:
    layers = {f"model.{i}.conv.weight": torch.zeros(100_000, 1, 1, 1) for i in (0, 1, 3, 5, 7)}
    limited = plan_of(layers | {"model.22.cv3.0.2.weight": torch.zeros(100_000, 1)})
    assert limited.channels == (2048,) * 5
    assert limited.class_count == 10_000


def test_real_file_loads_strictly_and_every_key_is_used(shared: Path, real: Loaded) -> None:
    file = unpickle.read(shared / "checkpoints/yolov8n_coco_best.pt")
    state = unpickle.state_dict(file, file.root["model"])
    weights = real.network.weights()
    assert {f"inner.{name}" for name in state} == set(weights)
    for name, tensor in state.items():
        np.testing.assert_array_equal(weights[f"inner.{name}"], tensor.numpy(), err_msg=name)
    assert (len(real.labels), real.labels[0], real.labels[79]) == (80, "person", "toothbrush")
    assert real.licence == "AGPL-3.0 License (https://ultralytics.com/license)"


def test_real_file_finds_the_people_of_a_photo(shared: Path, real: Loaded) -> None:
    batch = read_images([shared / "data/faces/group/19.jpg"], real)
    answer = expected(real, batch)
    assert real.suppression is not None
    detections = non_max_suppression(answer["boxes_xyxy"][0], answer["scores"][0], real.suppression)
    sure = detections.scores > 0.8
    assert {real.labels[kind] for kind in detections.classes[sure]} == {"person"}
    # left to right, in px of the 640 x 640 canvas; five people in a row
    corners = detections.boxes_xyxy[sure]
    people = [[35, 167, 189, 550], [145, 198, 271, 551], [242, 162, 398, 551],
              [295, 199, 467, 552], [456, 155, 598, 549]]  # fmt: skip
    np.testing.assert_allclose(corners[np.argsort(corners[:, 0])], people, rtol=0, atol=1.5)


def test_real_file_agrees_with_its_float_graph(shared: Path, real: Loaded, tmp_path: Path) -> None:
    photos = sorted((shared / "data/faces/group").iterdir())[:3]
    errors = differences(real, read_images(photos, real), tmp_path)
    assert max(errors.values()) <= 1e-4
