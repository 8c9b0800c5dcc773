"""ArcFace: both backbones, the real MobileFaceNet on faces, class centers in every layout."""

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

import runtime
from convert import recipe
from convert.checkpoint import read_state_dict
from convert.errors import CheckpointError
from convert.export.numerics.cosine import CosineProbabilities
from convert.recipe import Loaded
from runtime.artifact.manifest import read_manifest
from runtime.results import Classification, Embedding
from tests.convert.support.command_line import succeed
from tests.convert.support.numerics import check_head
from tests.convert.support.parity import (
    compared,
    differences,
    expected,
    read_images,
    write_float_graph,
)

PARITY = 1e-4
IRESNET_18 = 18  # the smallest: its key layout is that of every depth


def load(path: Path) -> Loaded:
    return recipe.find("face_emotion_arcface").recipe.load(path)


def crops(shared: Path) -> list[Path]:
    return sorted((shared / "data/faces/ckplus48").rglob("*.png"))


def generated_faces(count: int = 3) -> NDArray[np.uint8]:
    from convert.samples.procedural import EVALUATION, generate_images
    from runtime.artifact.manifest import Resize
    from runtime.media.images.preprocess import preprocess

    steps = (Resize(height=112, width=112, interpolation="linear"),)
    return np.stack(
        [preprocess(image, steps) for image in generate_images("face", EVALUATION, count)]
    )


def mobilefacenet() -> dict[str, Any]:
    """Return the state_dict of the seeded backbone."""
    seed = recipe.find("face_emotion_arcface").recipe.seed
    assert seed is not None
    weights = seed().network.weights()
    return as_tensors({k.removeprefix("inner."): v for k, v in weights.items()})


def as_tensors(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    import torch

    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}


def centers(count: int = 7, width: int = 128) -> Any:
    import torch

    rng = np.random.default_rng(3)
    return torch.from_numpy(rng.standard_normal((count, width), dtype=np.float32))


@pytest.fixture(scope="module")
def backbone() -> dict[str, Any]:
    return mobilefacenet()


def saved(checkpoint: object, directory: Path) -> Path:
    import torch

    path = directory / "face.pt"
    torch.save(checkpoint, path)
    return path


def refusal(checkpoint: object, directory: Path) -> str:
    with pytest.raises(CheckpointError) as refused:
        load(saved(checkpoint, directory))
    return str(refused.value)


# --- the head


def test_cosine_probabilities_by_hand() -> None:
    head = CosineProbabilities(np.array([[3, 0], [0, 5]], np.float32), scale=2.0)
    answer = check_head(head, [[4.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    certain = 1 / (1 + np.exp(-2))
    probabilities = [[certain, 1 - certain], [0.5, 0.5], [0.5, 0.5]]
    np.testing.assert_allclose(answer["probabilities"], probabilities, atol=1e-6)
    root = np.sqrt(0.5)
    np.testing.assert_allclose(answer["embedding"], [[1, 0], [root, root], [0, 0]], atol=1e-6)


def test_lengths_of_centers_and_features_do_not_matter() -> None:
    raw = np.random.default_rng(1).standard_normal((4, 8), dtype=np.float32)
    directions = np.random.default_rng(2).standard_normal((3, 8), dtype=np.float32)
    first = CosineProbabilities(directions, 2.0).apply(raw)
    second = CosineProbabilities(directions * np.float32(7), 2.0).apply(raw * np.float32(0.01))
    assert first["probabilities"].max() < 0.9  # not so sharp that lengths could hide
    for name in first:
        np.testing.assert_allclose(first[name], second[name], atol=1e-5, err_msg=name)


# --- architectures


def test_iresnet_has_insightfaces_keys_and_sizes() -> None:
    import torch

    from convert.architectures.iresnet import LAYERS, IResNet, layers_of

    with torch.device("meta"):
        modules = {depth: IResNet(layers) for depth, layers in LAYERS.items()}
    # of recognition/arcface_torch/backbones/iresnet.py
    parameters = {depth: sum(p.numel() for p in m.parameters()) for depth, m in modules.items()}
    assert (parameters[18], parameters[50]) == (24_025_600, 43_590_848)
    assert [len(modules[depth].state_dict()) for depth in (18, 50)] == [187, 475]
    for depth, module in modules.items():
        assert layers_of(module.state_dict()) == LAYERS[depth]
    state = modules[50].state_dict()
    for key, shape in {
        "conv1.weight": (64, 3, 3, 3),
        "layer1.0.downsample.0.weight": (64, 64, 1, 1),
        "layer3.13.bn1.weight": (256,),
        "layer4.0.conv1.weight": (512, 256, 3, 3),
        "layer4.2.prelu.weight": (512,),
        "fc.weight": (512, 25088),
        "features.running_var": (512,),
    }.items():
        assert tuple(state[key].shape) == shape, key


def test_mobilefacenet_in_insightface_pytorchs_keys() -> None:
    import torch

    from convert.architectures.mobilefacenet import PReluMobileFaceNet

    with torch.device("meta"):
        state = PReluMobileFaceNet().state_dict()
    assert len(state) == 333
    for key, shape in {
        "conv2_dw.conv.weight": (64, 1, 3, 3),
        "conv_3.model.3.project.bn.weight": (64,),
        "conv_45.conv_dw.prelu.weight": (512,),
        "conv_6_dw.conv.weight": (512, 1, 7, 7),
        "linear.weight": (512, 512),
        "bn.running_mean": (512,),
    }.items():
        assert tuple(state[key].shape) == shape, key


def seeded_state(module: Any) -> dict[str, Any]:
    from convert.export.numerics import ImageInput
    from convert.weights.seeded import seed_torch

    image = ImageInput(112, 112, 3, mean=(0.5,) * 3, std=(0.5,) * 3)
    seed_torch(module, image.apply(generated_faces(4)))
    return dict(module.state_dict())


def test_every_backbone_equals_its_graph_and_is_fed_as_upstream(tmp_path: Path) -> None:
    from convert.architectures.iresnet import LAYERS, IResNet
    from convert.architectures.mobilefacenet import PReluMobileFaceNet

    small = IResNet(LAYERS[IRESNET_18], 64)
    for module, width in ((small, 64), (PReluMobileFaceNet(256), 256)):
        loaded = load(saved(seeded_state(module), tmp_path))
        assert loaded.task == "image-feature-extraction"
        # levels 0 and 255 become -1 and 1
        ends = np.zeros((1, 112, 112, 3), np.uint8)
        ends[:, 56:] = 255
        (pixels,) = loaded.input.apply(ends)
        assert (pixels.min(), pixels.max()) == (-1, 1)
        batch = generated_faces()
        embedding = expected(loaded, batch)["embedding"]
        assert embedding.shape == (3, width)
        assert np.abs(embedding[0] - embedding[1]).max() > 0.01
        errors = differences(loaded, batch, tmp_path)
        assert max(errors.values()) <= PARITY, (type(module).__name__, errors)


# --- the real MobileFaceNet


def test_mobilefacenet_loads_strictly_and_every_key_is_used(shared: Path) -> None:
    path = shared / "checkpoints/mobilefacenet.pt"
    weights = load(path).network.weights()
    for name, tensor in read_state_dict(path).items():
        np.testing.assert_array_equal(weights[f"inner.{name}"], tensor.numpy(), err_msg=name)


def test_faces_of_one_subject_are_nearest(shared: Path) -> None:
    paths = crops(shared)
    loaded = load(shared / "checkpoints/mobilefacenet.pt")
    answer = expected(loaded, read_images(paths, loaded))
    assert list(answer) == ["embedding"]  # without class centers there is no other output
    embedding = answer["embedding"]
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1, atol=1e-5)
    subjects = np.array([path.name.partition("_")[0] for path in paths])
    first, second = np.triu_indices(len(paths), k=1)
    cosines = (embedding @ embedding.T)[first, second]
    same_subject = subjects[first] == subjects[second]
    # probability that a pair of one subject is nearer than a pair of two; with another
    # normalisation than upstream's 0.992 ((x / 255 - 0.5) / 0.5) or 0.980 (x / 255)
    order = cosines.argsort().argsort()
    count, others = same_subject.sum(), (~same_subject).sum()
    area = (order[same_subject].sum() - count * (count - 1) / 2) / (count * others)
    print(f"{count} pairs of one subject: area {area:.4f}")
    assert count > 100
    assert area >= 0.9935
    assert cosines[same_subject].mean() - cosines[~same_subject].mean() >= 0.45


def test_mobilefacenet_float_graph_equals_torch_on_faces(
    shared: Path, tmp_path: Path, record_property: Any
) -> None:
    loaded = load(shared / "checkpoints/mobilefacenet.pt")
    batch = read_images(crops(shared)[::30], loaded)
    write_float_graph(loaded, tmp_path / "float.onnx")
    errors = compared(expected(loaded, batch), tmp_path / "float.onnx", batch)
    record_property("parity", str(errors))
    assert max(errors.values()) <= 1e-5, errors


@pytest.mark.slow
def test_mobilefacenet_in_int8_keeps_its_embedding(shared: Path, tmp_path: Path) -> None:
    faces = shared / "data/faces/ckplus48"
    checkpoint = shared / "checkpoints/mobilefacenet.pt"
    arguments = ("--checkpoint", checkpoint, "--calibration", faces, "--out", tmp_path / "out")
    succeed("face_emotion_arcface", *arguments, directory=tmp_path)
    manifest = read_manifest(tmp_path / "out/face_emotion_arcface/1")
    int8, plain = manifest.variants[0], manifest.variants[-1]
    assert (int8.name, plain.name) == ("int8", "float")
    fidelity = int8.verification["fidelity"]
    print(f"MobileFaceNet INT8: {fidelity}")
    assert fidelity["cosine_mean"] >= 0.99
    assert fidelity["cosine_p05"] >= 0.98
    assert fidelity["pair_error"] <= 0.015
    assert int8.files[0].size_bytes <= 0.33 * plain.files[0].size_bytes
    assert int8.batch_invariant
    result = runtime.load(tmp_path / "out/face_emotion_arcface").predict(
        crops(shared)[0].read_bytes()
    )
    assert isinstance(result, Embedding)
    assert result.values.shape == (128,)


# --- class centers


def layouts(backbone: Mapping[str, Any], head: Any) -> dict[str, object]:
    return {
        "one dict": {
            **{f"backbone.{k}": v for k, v in backbone.items()},
            "head.weight": head,
            "head.cos_m": head[0, 0],
        },
        "the head alone has a prefix": {**backbone, "arcface.weight": head},
        "two dicts": {
            "backbone": dict(backbone),
            "head": {"kernel": head.T},
            "best": {"loss": head[0, 0] * float("inf")},
        },
        "a matrix": {"model": dict(backbone), "centers": head},
        "insightface": {
            "state_dict_backbone": {f"module.{k}": v for k, v in backbone.items()},
            "state_dict_softmax_fc": {"weight": head},
            "state_optimizer": {"state": {0: {"momentum_buffer": head}}},
        },
        "Lightning": {
            "state_dict": {
                **{f"net.backbone.{k}": v for k, v in backbone.items()},
                "net.metric_fc.weight": head,
                "criterion.weight": head[:, 0],
            },
        },
        "average": {
            "model": {**{k: v * 0 for k, v in backbone.items()}, "head.weight": head * 0},
            "model_ema": {**backbone, "head.weight": head},
        },
    }


@pytest.mark.parametrize("layout", sorted(layouts({}, np.ones((7, 128)))))
def test_class_centers_are_found_in_every_layout(
    backbone: dict[str, Any], layout: str, tmp_path: Path
) -> None:
    loaded = load(saved(layouts(backbone, centers())[layout], tmp_path))
    assert isinstance(loaded.head, CosineProbabilities)
    np.testing.assert_array_equal(loaded.head.centers, centers().numpy())
    assert loaded.head.scale == 64
    assert loaded.task is None
    assert loaded.labels == recipe_labels()
    for name, tensor in backbone.items():
        np.testing.assert_array_equal(loaded.network.weights()[f"inner.{name}"], tensor.numpy())


def recipe_labels() -> tuple[str, ...]:
    return ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")


@pytest.mark.parametrize(
    "extra", [{"s": 30.0}, {"scale": 30}, {"config": {"arcface_s": 30, "scale": 0.5}}]
)
def test_the_scale_and_the_names_are_the_checkpoints(
    backbone: dict[str, Any], extra: dict[str, object], tmp_path: Path
) -> None:
    whole = {"backbone": backbone, "head": centers(3), "classes": ["a", "b", "c"], **extra}
    loaded = load(saved(whole, tmp_path))
    assert isinstance(loaded.head, CosineProbabilities)
    assert loaded.head.scale == 30
    assert loaded.labels == ("a", "b", "c")


def test_classes_without_names_are_left_to_the_user(
    backbone: dict[str, Any], tmp_path: Path
) -> None:
    loaded = load(saved({"backbone": backbone, "head": centers(5)}, tmp_path))
    assert loaded.labels == ()
    assert loaded.task is None


def test_identities_of_the_training_are_no_classes(
    backbone: dict[str, Any], tmp_path: Path
) -> None:
    whole = {"backbone": backbone, "head": centers(1001), "classes": ["a", "b"]}
    loaded = load(saved(whole, tmp_path))
    assert loaded.task == "image-feature-extraction"
    assert loaded.labels == ()
    assert [tensor.name for tensor in loaded.head.tensors([(1, 128)], loaded.input.tensors)] == [
        "embedding"
    ]


def test_heads_that_are_no_class_centers_are_refused(
    backbone: dict[str, Any], tmp_path: Path
) -> None:
    one = centers()
    linear = {**backbone, "classifier.weight": one, "classifier.bias": one[:, 0]}
    message = refusal(linear, tmp_path)
    assert "classifier.weight has the bias classifier.bias: it is a linear classifier" in message
    two = {"backbone": backbone, "head": one, "arcface": {"weight": one}}
    message = refusal(two, tmp_path)
    assert "head, arcface.weight could each be the class centers" in message
    names = {"backbone": backbone, "head": one, "classes": ["happy", "sad"]}
    assert "names 2 classes (happy, sad); its head has 7" in refusal(names, tmp_path)
    scale = {"backbone": backbone, "head": one, "s": -1.0}
    assert "s is -1.0; needed: over 0" in refusal(scale, tmp_path)
    nan = {"backbone": backbone, "head": one * float("nan")}
    assert "holds NaN" in refusal(nan, tmp_path)


def test_other_networks_are_refused(backbone: dict[str, Any], tmp_path: Path) -> None:
    import torch

    from convert.architectures.mobilenetv2 import MobileNetV2

    with torch.device("cpu"):
        other = MobileNetV2().state_dict()
    message = refusal(other, tmp_path)
    assert "not the keys of MobileFaceNet" in message
    assert "missing" in message
    assert "unexpected" in message
    assert "image_embedding_mobilenetv2" in message
    less = {key: value for key, value in backbone.items() if key != "conv3.bias"}
    assert "1 missing (conv3.bias)" in refusal(less, tmp_path)
    more = {**backbone, "conv9.bias": backbone["conv3.bias"]}
    assert "1 unexpected (conv9.bias)" in refusal(more, tmp_path)


def upstreams_answer(data: bytes, backbone: Mapping[str, Any], scale: float) -> NDArray[Any]:
    """Compute probabilities by foamliu's `data_gen.py` and ArcFace's definition."""
    import torch
    from PIL import Image

    from convert.architectures.mobilefacenet import MobileFaceNet

    module = MobileFaceNet()
    module.load_state_dict(dict(backbone))
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"), np.float32) / 255
    mean, std = (
        np.array(values, np.float32) for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )
    image = torch.from_numpy(((pixels - mean) / std).transpose(2, 0, 1)[np.newaxis])
    normalize = torch.nn.functional.normalize
    with torch.inference_mode():
        cosines = normalize(module.eval()(image)) @ normalize(centers()).T
        return np.asarray((scale * cosines).softmax(dim=1)[0].numpy())


@pytest.mark.slow
def test_emotions_of_an_owners_checkpoint_from_bytes_to_answer(
    backbone: dict[str, Any], tmp_path: Path, record_property: Any
) -> None:
    path = saved({"backbone": backbone, "head": centers(), "s": 16.0}, tmp_path)
    arguments = ("--checkpoint", path, "--precision", "float", "--out", tmp_path / "out")
    succeed("face_emotion_arcface", *arguments, directory=tmp_path)
    model = runtime.load(tmp_path / "out/face_emotion_arcface")
    assert {tensor.name for tensor in model.spec.outputs} == {"probabilities", "embedding"}
    errors: list[float] = []
    for image in generated_faces():
        _, png = cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        result = model.predict(png.tobytes())
        assert isinstance(result, Classification)
        assert result.labels == recipe_labels()
        probabilities = upstreams_answer(png.tobytes(), backbone, 16.0)
        errors.append(float(np.abs(result.probabilities - probabilities).max()))
    record_property("bytes to answer", str(max(errors)))
    # an aligned crop is not resized, so only float rounding is left
    assert max(errors) <= PARITY
