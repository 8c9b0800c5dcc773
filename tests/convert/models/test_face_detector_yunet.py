"""YuNet: decoding by hand and by OpenCV, the real files, their weights in the torch module."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch  # noqa: TID253 - in a process without TensorFlow
from numpy.typing import NDArray
from onnx import TensorProto, helper

import runtime
from convert import recipe
from convert.architectures.yunet import YuNet
from convert.errors import CheckpointError
from convert.export.graph.surgery import initializers
from convert.export.numerics import Faces
from convert.fidelity.boxes import box_ious
from convert.metrics import max_abs_difference
from convert.recipe import Loaded
from runtime.artifact.manifest import read_manifest
from runtime.media.images.decode import decode_image
from runtime.media.images.geometry import place
from runtime.media.images.preprocess import preprocess
from runtime.results import Detections
from tests.convert.support.parity import differences, expected, read_images, write_float_graph

PARITY = 1e-4
FILES = ("yunet_n_640_640.onnx", "yunet_n_dynamic.onnx")
OUTPUTS = [f"{kind}_{stride}" for kind in ("cls", "obj", "bbox", "kps") for stride in (8, 16, 32)]
WEIGHTS = 75_856  # of yunet_n, as upstream's README counts them
# photos to the faces in them; upstream finds a tenth in the second, on a wall
FACES = {
    "group/1.jpg": 52,
    "group/12_angry_men.jpg": 10,
    "group/19.jpg": 5,
    "group/3.jpg": 5,
    "group/face.jpg": 4,
    "group/solvay_conference.jpg": 6,
    "labelled_colour/angry.jpg": 1,
    "labelled_colour/fearful.jpg": 1,
    "labelled_colour/neutral.jpg": 1,
    "labelled_colour/surprised.jpg": 1,
}


def load(path: Path) -> Loaded:
    return recipe.find("face_detector_yunet").recipe.load(path)


def seed() -> Loaded:
    make = recipe.find("face_detector_yunet").recipe.seed
    assert make is not None
    return make()


def photos(shared: Path) -> list[Path]:
    return [shared / "data/faces" / name for name in FACES]


def nothing(height: int, width: int) -> list[NDArray[np.float32]]:
    """Raw outputs of one image in which no cell holds anything."""
    shapes = Faces(height, width).expected_shapes(())
    return [np.zeros((1, *(int(size) for size in shape[1:])), np.float32) for shape in shapes]


def through_nodes(head: Faces, raw: list[NDArray[np.float32]]) -> dict[str, NDArray[Any]]:
    fragment = head.nodes(*OUTPUTS)
    names = ["boxes_xyxy", "scores", "keypoints"]
    graph = helper.make_graph(
        list(fragment.nodes),
        "g",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", *array.shape[1:]])
            for name, array in zip(OUTPUTS, raw, strict=True)
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names],
        list(fragment.initializers),
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip(names, session.run(names, dict(zip(OUTPUTS, raw, strict=True))), strict=True))


def test_one_cell_by_hand() -> None:
    raw = nothing(64, 96)  # grids of 8 x 12, 4 x 6 and 2 x 3 cells
    row = 3 * 6 + 4  # of the second grid: fifth column, fourth row
    at = 8 * 12 + row
    raw[1][0, row], raw[4][0, row] = 0.64, 0.25
    raw[7][0, row] = (0.5, -0.25, np.log(2), np.log(3))
    raw[10][0, row] = (0, 0, 1, 0, 0.5, 0.5, 0, 1, 1, 1)
    faces = Faces(64, 96).apply(*raw)
    # centre (4.5, 2.75) * 16, sides (32, 48)
    np.testing.assert_allclose(faces["boxes_xyxy"][0, at], (56, 20, 88, 68), atol=1e-4)
    assert faces["scores"][0, at, 0] == pytest.approx(0.4)
    assert np.count_nonzero(faces["scores"]) == 1
    points = [(64, 48), (80, 48), (72, 56), (64, 64), (80, 64)]
    np.testing.assert_allclose(faces["keypoints"][0, at], points, atol=1e-4)


def test_grids_follow_each_other_finest_first() -> None:
    boxes = Faces(64, 96).apply(*nothing(64, 96))["boxes_xyxy"][0]
    assert len(boxes) == 96 + 24 + 6
    sides = boxes[:, 2] - boxes[:, 0]
    np.testing.assert_array_equal(sides, [8] * 96 + [16] * 24 + [32] * 6)
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    np.testing.assert_array_equal(centres[11:13], [(88, 0), (0, 8)])  # end of the first row, next
    np.testing.assert_array_equal(centres[-1], (64, 32))


def test_nodes_and_formula_agree() -> None:
    head, random = Faces(96, 64), np.random.default_rng(0)
    raw = [
        random.normal(0.5, 0.5, (3, *(int(size) for size in shape[1:]))).astype(np.float32)
        for shape in head.expected_shapes(())
    ]
    formula, nodes = head.apply(*raw), through_nodes(head, raw)
    specs = {tensor.name: tensor for tensor in head.tensors([array.shape for array in raw], ())}
    assert formula.keys() == nodes.keys() == specs.keys()
    for name, array in formula.items():
        assert array.dtype == np.float32
        assert array.shape[1:] == specs[name].shape[1:]
        # one rounding of values up to 200
        np.testing.assert_allclose(nodes[name], array, atol=3e-5, err_msg=name)
    assert formula["scores"].min() == 0  # what is outside of [0, 1] was clipped
    assert formula["scores"].max() == 1


def state_in(path: Path) -> dict[str, torch.Tensor]:
    """Return the file's weights by upstream's keys; folded normalisation becomes the identity."""
    model = onnx.load(path)
    arrays, state, prefix = initializers(model), {}, "backbone.model0.conv1"
    for node in model.graph.node:
        if node.op_type != "Conv":
            continue
        name = node.input[1].removesuffix(".weight")
        # where batch normalisation was folded in, the exporter numbers what had a name
        prefix = name if "." in name else prefix
        for suffix, source in zip(("weight", "bias"), node.input[1:], strict=True):
            state[f"{prefix}.{suffix}"] = torch.from_numpy(arrays[source].copy())
        prefix = prefix.removesuffix("conv1") + "conv2"
    for name, module in YuNet().named_modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            norm = torch.nn.BatchNorm2d(module.num_features)
            norm.running_var = torch.full((module.num_features,), 1 - module.eps)
            state |= {f"{name}.{key}": value for key, value in norm.state_dict().items()}
    return state


def test_module_has_the_files_layers(shared: Path) -> None:
    model = onnx.load(shared / "checkpoints" / FILES[0])
    arrays = initializers(model)
    layers = [m for m in YuNet().modules() if isinstance(m, torch.nn.Conv2d)]
    ours = [tuple(p.shape) for layer in layers for p in layer.parameters()]
    theirs = [
        arrays[name].shape
        for node in model.graph.node
        if node.op_type == "Conv"
        for name in node.input[1:]
    ]
    assert len(layers) == 59
    assert sorted(ours) == sorted(theirs)
    assert sum(p.numel() for p in YuNet().parameters()) == WEIGHTS


def test_state_dict_gives_the_files_answers(shared: Path, tmp_path: Path) -> None:
    file = shared / "checkpoints" / FILES[0]
    path = tmp_path / "yunet_n.pth"
    torch.save({"meta": {"epoch": 640}, "state_dict": state_in(file)}, path)
    ours, theirs = load(path), load(file)
    batch = read_images(photos(shared)[:2], theirs)
    assert max_abs_difference(expected(theirs, batch), expected(ours, batch)) <= PARITY


@pytest.mark.parametrize("name", FILES)
def test_float_graph_equals_the_file(shared: Path, tmp_path: Path, name: str) -> None:
    loaded = load(shared / "checkpoints" / name)
    batch = read_images(photos(shared)[:3], loaded)
    errors = differences(loaded, batch, tmp_path)
    assert max(errors.values()) <= PARITY, errors
    model = write_float_graph(loaded, tmp_path / "float.onnx")
    shapes = {
        v.name: [d.dim_value for d in v.type.tensor_type.shape.dim] for v in model.graph.output
    }
    assert shapes == {
        "boxes_xyxy": [0, 8400, 4],
        "scores": [0, 8400, 1],
        "keypoints": [0, 8400, 5, 2],
    }


def test_seeded_float_graph_equals_torch(tmp_path: Path) -> None:
    loaded = seed()
    batch = np.random.default_rng(0).integers(0, 256, (3, 640, 640, 3)).astype(np.uint8)
    batch[1:] //= np.array([[[[2]]], [[[5]]]], np.uint8)
    outputs = expected(loaded, batch)
    assert np.ptp(outputs["scores"]) > 0.1  # not all the same
    assert np.abs(outputs["boxes_xyxy"]).max() < 1e4  # and no exponential ran away
    errors = differences(loaded, batch, tmp_path)
    assert max(errors.values()) <= PARITY, errors


@pytest.fixture(scope="session")
def detector(pretrained_yunet: Path) -> runtime.Model:
    return runtime.load(pretrained_yunet)


@pytest.mark.slow
def test_int8_is_tried_only_on_request(pretrained_yunet: Path) -> None:
    manifest = read_manifest(pretrained_yunet / "1")
    assert [variant.precision for variant in manifest.variants] == ["float"]
    assert manifest.candidates == ()


def by_opencv(checkpoint: Path, image: NDArray[np.uint8], model: runtime.Model) -> NDArray[Any]:
    """(M, 15) of OpenCV's own detector on the same canvas, in px of the image, best first."""
    canvas = preprocess(image, model.spec.preprocess)
    detector = cv2.FaceDetectorYN.create(str(checkpoint), "", canvas.shape[1::-1], 0.6, 0.3, 5000)
    rows: NDArray[Any] = detector.detect(np.ascontiguousarray(canvas[..., ::-1]))[1]
    where = place(image.shape[0], image.shape[1], model.spec.preprocess)
    rows[:, :14] = rows[:, :14] / ([where.scale_x, where.scale_y] * 7)
    return rows[np.argsort(-rows[:, 14], kind="stable")]


@pytest.mark.slow
@pytest.mark.parametrize("name", FACES)
def test_faces_of_photos_are_opencvs(shared: Path, detector: runtime.Model, name: str) -> None:
    content = (shared / "data/faces" / name).read_bytes()
    result = detector.predict(content)
    assert isinstance(result, Detections)
    assert len(result.scores) == FACES[name]
    assert set(result.classes) == {0}
    image = decode_image(content)
    rows = by_opencv(shared / "checkpoints" / FILES[0], image, detector)
    corners = np.hstack([rows[:, :2], rows[:, :2] + rows[:, 2:4]])
    corners = corners.clip(0, [*image.shape[1::-1]] * 2)
    assert len(rows) == len(result.scores)
    assert result.keypoints is not None
    # 1e-3 px: onnxruntime's and OpenCV's kernels add in another order
    for box, score, points in zip(result.boxes_xyxy, result.scores, result.keypoints, strict=True):
        same = int(box_ious(box, corners.astype(np.float32)).argmax())
        np.testing.assert_allclose(box, corners[same], atol=1e-3)
        np.testing.assert_allclose(points.ravel(), rows[same, 4:14], atol=1e-3)
        assert score == pytest.approx(rows[same, 14], abs=1e-5)


@pytest.mark.slow
def test_keypoints_are_named_from_the_persons_side(shared: Path, detector: runtime.Model) -> None:
    result = detector.predict((shared / "data/faces/labelled_colour/neutral.jpg").read_bytes())
    assert isinstance(result, Detections)
    assert result.keypoints is not None
    right_eye, left_eye, nose, right_mouth, left_mouth = result.keypoints[0]
    assert right_eye[0] < nose[0] < left_eye[0]
    assert right_mouth[0] < left_mouth[0]
    assert right_eye[1] < nose[1] < right_mouth[1]


def twelve_outputs(path: Path, shape: tuple[int, ...], names: list[str]) -> Path:
    image = helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names]
    nodes = [helper.make_node("Relu", ["input"], [name]) for name in names]
    graph = helper.make_graph(nodes, "g", [image], outputs)
    for value in graph.output:
        value.type.tensor_type.shape.CopyFrom(image.type.tensor_type.shape)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=6), path
    )
    return path


@pytest.mark.parametrize(
    ("shape", "names", "message"),
    [
        ((1, 3, 100, 96), OUTPUTS, r"takes \(3, 100, 96\); needed: .* multiples of 32"),
        ((1, 1, 96, 96), OUTPUTS, r"takes \(1, 96, 96\); needed: \(3, height, width\)"),
        ((1, 3, 96, 96), ["loc", "conf", "iou"], r"outputs loc, conf, iou; needed: cls_8"),
    ],
    ids=["size", "grey", "older form"],
)
def test_other_onnx_files_are_refused(
    tmp_path: Path, shape: tuple[int, ...], names: list[str], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        load(twelve_outputs(tmp_path / "other.onnx", shape, names))


def test_state_dict_of_another_net_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.pth"
    torch.save({"conv.weight": torch.zeros(3, 3, 1, 1)}, path)
    with pytest.raises(CheckpointError, match="not the keys of YuNet"):
        load(path)
