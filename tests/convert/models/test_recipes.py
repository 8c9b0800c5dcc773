"""Real checkpoints: reference framework, float graph and packaged model on real images."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import runtime
from convert import recipe
from convert.checkpoint import read_state_dict
from convert.recipe import Loaded
from runtime.artifact.manifest import read_manifest
from runtime.results import Alpha, Classification
from tests.convert.support.keras_process import in_keras
from tests.convert.support.parity import compared, expected, read_images, write_float_graph

PARITY = 1e-4
# folder of CK+ to our label, the six classes that both have
CKPLUS = {
    "anger": "angry",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "happy",
    "sadness": "sad",
    "surprise": "surprise",
}
STATED_ACCURACY = 0.615  # of the checkpoint on them, in float


def matting(shared: Path) -> list[Path]:
    """Images that have a mask made by upstream's own code."""
    images = sorted((shared / "data/matting/images").iterdir())
    masks = {path.stem for path in (shared / "data/matting/u2netp_results").iterdir()}
    return [path for path in images if path.stem in masks]


def faces(shared: Path) -> list[tuple[Path, str]]:
    folder = shared / "data/faces/ckplus48"
    return [
        (path, label)
        for name, label in CKPLUS.items()
        for path in sorted((folder / name).iterdir())
    ]


def load_u2netp(path: Path) -> Loaded:
    return recipe.find("background_u2netp").recipe.load(path)


def write_rembg_form(checkpoint: Path, target: Path) -> None:
    """Write the same net as rembg distributes it: seven outputs, opset 11, one image at a time."""
    import torch

    from convert.architectures.u2net import u2netp

    class SevenMaps(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = u2netp()
            self.sides: list[torch.Tensor] = []
            self.net.outconv.register_forward_pre_hook(self._keep)

        def _keep(self, module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            self.sides = list(inputs[0].split(1, dim=1))

        def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
            fused = self.net(image)
            return (fused, *(torch.sigmoid(side) for side in self.sides))

    module = SevenMaps()
    module.net.load_state_dict(read_state_dict(checkpoint), strict=False)
    with pytest.warns():  # the tracing exporter says that it is the older one
        torch.onnx.export(
            module.eval(),
            (torch.zeros(1, 3, 320, 320),),
            str(target),
            input_names=["input.1"],
            opset_version=11,
            do_constant_folding=True,
            dynamo=False,
        )


def iou(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Return the IoU of masks at the usual threshold of one half."""
    first, second = a > 0.5, b > 0.5
    union = int(np.count_nonzero(first | second))
    return int(np.count_nonzero(first & second)) / max(1, union)


def accuracy(predictions: Iterable[str], labels: Iterable[str]) -> float:
    return float(np.mean([a == b for a, b in zip(predictions, labels, strict=True)]))


def test_u2netp_state_dict_loads_strictly_and_every_key_is_used(shared: Path) -> None:
    state = read_state_dict(shared / "checkpoints/u2netp.pth")
    weights = load_u2netp(shared / "checkpoints/u2netp.pth").network.weights()
    for name, tensor in state.items():
        np.testing.assert_array_equal(weights[f"inner.{name}"], tensor.numpy(), err_msg=name)


@pytest.mark.slow
def test_u2netp_float_graph_equals_torch_on_photos(
    shared: Path, quantized_u2netp: Path, record_property: Any
) -> None:
    loaded = load_u2netp(shared / "checkpoints/u2netp.pth")
    batch = read_images(matting(shared)[:3], loaded)
    errors = compared(expected(loaded, batch), quantized_u2netp / "float.onnx", batch)
    record_property("parity", str(errors))
    assert max(errors.values()) <= PARITY, errors


@pytest.mark.slow
def test_u2netp_in_rembgs_form_answers_the_same(shared: Path, tmp_path: Path) -> None:
    checkpoint, exported = shared / "checkpoints/u2netp.pth", tmp_path / "u2netp.onnx"
    write_rembg_form(checkpoint, exported)
    original = onnx.load(exported)
    assert (len(original.graph.output), original.opset_import[0].version) == (7, 11)
    assert original.graph.input[0].name == "input.1"
    assert original.graph.input[0].type.tensor_type.shape.dim[0].dim_value == 1

    loaded = load_u2netp(exported)
    model = write_float_graph(loaded, tmp_path / "float.onnx")
    assert [value.name for value in model.graph.output] == ["alpha", "alpha_range"]
    sigmoids = [node for node in model.graph.node if node.op_type == "Sigmoid"]
    assert len(sigmoids) == 1  # of the one output that is used
    reference = load_u2netp(checkpoint)
    batch = read_images(matting(shared)[:3], reference)
    errors = compared(expected(reference, batch), tmp_path / "float.onnx", batch)
    assert max(errors.values()) <= PARITY, errors


@pytest.mark.slow
def test_u2netp_masks_are_upstreams(
    shared: Path, quantized_u2netp: Path, record_property: Any
) -> None:
    model = runtime.load(quantized_u2netp, variant="float")
    ious, errors = [], []
    for path in matting(shared):
        result = model.predict(path.read_bytes())
        assert isinstance(result, Alpha)
        upstream = cv2.imread(
            str(shared / f"data/matting/u2netp_results/{path.stem}.png"), cv2.IMREAD_GRAYSCALE
        )
        assert upstream is not None
        height, width = upstream.shape
        alpha = (
            cv2.resize(result.values, (width, height))
            if result.values.shape != upstream.shape
            else result.values
        )
        ious.append(iou(alpha, upstream / 255))
        errors.append(float(np.abs(alpha - upstream / 255).mean()))
    record_property("mean IoU, MAE", f"{np.mean(ious):.4f}, {np.mean(errors):.4f}")
    print(f"u2netp: mean IoU {np.mean(ious):.4f}, MAE {np.mean(errors):.4f}, {len(ious)} masks")
    assert len(ious) >= 9
    assert np.mean(ious) >= 0.97
    assert np.mean(errors) <= 0.01


@pytest.mark.slow
def test_xception_float_graph_equals_keras_on_faces(shared: Path, record_property: Any) -> None:
    checkpoint = shared / "checkpoints/fer2013_mini_XCEPTION.102-0.66.hdf5"
    images = [str(path) for path, _ in faces(shared)[::20]]
    report = in_keras("parity", str(checkpoint), *images)
    record_property("parity", str(report["differences"]))
    assert report["input"] == ["N", 64, 64, 1]
    assert max(report["differences"].values()) <= PARITY


@pytest.mark.slow
def test_xception_on_real_faces_is_as_good_as_its_checkpoint(
    shared: Path, pretrained_xception: Path, record_property: Any
) -> None:
    model = runtime.load(pretrained_xception)
    images = faces(shared)
    results = [model.predict(path.read_bytes()) for path, _ in images]
    served = [result.label for result in results if isinstance(result, Classification)]
    classes = in_keras(
        "predictions",
        str(shared / "checkpoints/fer2013_mini_XCEPTION.102-0.66.hdf5"),
        *(str(path) for path, _ in images),
    )
    reference = [model.spec.labels[index] for index in classes]
    labels = [label for _, label in images]
    hits = (accuracy(served, labels), accuracy(reference, labels))
    record_property("accuracy served, Keras", str(hits))
    print(f"xception on {len(images)} faces: served {hits[0]:.4f}, Keras {hits[1]:.4f}")
    assert hits[1] == pytest.approx(STATED_ACCURACY, abs=0.005)
    assert abs(hits[0] - hits[1]) * len(images) <= 2
    assert accuracy(served, reference) >= 0.99


@pytest.mark.slow
def test_xception_stays_float_where_int8_does_not_pay(pretrained_xception: Path) -> None:
    manifest = read_manifest(pretrained_xception / "1")
    candidates = [
        candidate for candidate in manifest.candidates if "integer_operators" in candidate
    ]
    assert len(candidates) == 2
    for record in candidates:
        assert record["objections"], record
    assert [variant.name for variant in manifest.variants] == ["float"]
    assert str(candidates[0]["objections"][0]) in manifest.choice["reason"]


@pytest.mark.slow
def test_mobilenetv2_float_graph_equals_torch_on_photos(shared: Path, tmp_path: Path) -> None:
    seed = recipe.find("image_embedding_mobilenetv2").recipe.seed
    assert seed is not None
    loaded = seed()
    photos = sorted((shared / "data/photos/imagenet").iterdir())[:6]
    batch = read_images(photos, loaded)
    write_float_graph(loaded, tmp_path / "float.onnx")
    errors = compared(expected(loaded, batch), tmp_path / "float.onnx", batch)
    assert max(errors.values()) <= PARITY, errors


def test_mobilenetv2_has_torchvisions_keys_and_sizes() -> None:
    from convert.architectures.mobilenetv2 import MobileNetV2

    state = MobileNetV2().state_dict()
    assert len(state) == 314  # of torchvision's mobilenet_v2
    parameters = sum(p.numel() for p in MobileNetV2().parameters())
    assert parameters == 3_504_872
    for key, shape in {
        "features.0.0.weight": (32, 3, 3, 3),
        "features.1.conv.0.0.weight": (32, 1, 3, 3),
        "features.1.conv.2.running_var": (16,),
        "features.17.conv.1.1.weight": (960,),
        "features.17.conv.3.bias": (320,),
        "features.18.1.num_batches_tracked": (),
        "classifier.1.weight": (1000, 1280),
    }.items():
        assert tuple(state[key].shape) == shape
