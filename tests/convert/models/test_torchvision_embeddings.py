"""ResNet-50 and MobileNetV2 embeddings: upstream's answers, and checkpoints as scripts save them.

Both recipes load through `convert.models.shared.torchvision_embedding`. Tests of its refusals use
MobileNetV2, which has a seventh of ResNet-50's weights.
"""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch  # noqa: TID253 - in a process without TensorFlow
from PIL import Image

from convert.architectures.mobilenetv2 import (
    STAGES,
    TIMM_BLOCK,
    TIMM_ENDS,
    TIMM_FIRST_BLOCK,
    MobileNetV2,
    from_timm,
)
from convert.architectures.resnet import ResNet50
from convert.errors import CheckpointError
from convert.models.image_embedding_mobilenetv2 import RECIPE as MOBILENET
from convert.models.image_embedding_resnet50 import RECIPE as RESNET
from convert.recipe import Loaded
from convert.samples.procedural import EVALUATION, generate_images
from runtime.artifact.manifest import CenterCrop, Resize
from runtime.media.images.preprocess import preprocess
from tests.convert.support.filled import filled, noise
from tests.convert.support.parity import differences, expected

SIDE = 75  # px; small and odd
# of torchvision 0.29.2's resnet50 with seven classes: logits, and the first pooled features
LOGITS = (
    [-1593.25098, -2270.73315, 9297.89453, 3968.81616, -3348.35547, -2603.28247, -441.74979],
    [-1501.323, -2025.9436, 8986.4707, 4107.51465, -3568.21655, -2591.7793, -348.94052],
)
FEATURES = (
    [3195.3240, 1478.6350, 949.4142, 160.1162, 4755.5894, 344.7616],
    [3099.1743, 1529.3120, 889.8060, 137.8062, 4961.4160, 313.9911],
)


def fill(module: Any) -> Any:
    """Give a module the weights that the recorded outputs belong to."""
    module.load_state_dict(filled(module.state_dict()))
    return module.eval()


@pytest.fixture(scope="module")
def resnet() -> Any:
    return fill(ResNet50(class_count=7))


@pytest.fixture(scope="module")
def mobilenet() -> Any:
    return fill(MobileNetV2(class_count=10))


@pytest.fixture(scope="module")
def state(mobilenet: Any) -> dict[str, Any]:
    return dict(mobilenet.state_dict())


def write(content: object, path: Path) -> Path:
    torch.save(content, path)
    return path


def features(loaded: Loaded) -> Any:
    return loaded.network.forward(noise(SIDE).numpy())[0]


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        MOBILENET.load(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    return text


def test_features_equal_torchvisions(resnet: Any) -> None:
    with torch.inference_mode():
        embedding, logits = resnet.embed(noise(SIDE)).numpy(), resnet(noise(SIDE)).numpy()
    assert embedding.shape == (2, 2048)
    # of the largest: another order of summation, on another CPU, moves the last digits
    np.testing.assert_allclose(embedding[:, :6], FEATURES, rtol=0, atol=0.5)
    np.testing.assert_allclose(logits, LOGITS, rtol=0, atol=1.0)


def test_keys_and_sizes_are_torchvisions() -> None:
    with torch.device("meta"):
        module = ResNet50()
    state = module.state_dict()
    assert len(state) == 320
    assert sum(p.numel() for p in module.parameters()) == 25_557_032
    for key, shape in {
        "conv1.weight": (64, 3, 7, 7),
        "layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "layer3.5.conv2.weight": (256, 256, 3, 3),
        "layer4.0.downsample.1.running_var": (2048,),
        "layer4.2.bn3.num_batches_tracked": (),
        "fc.weight": (1000, 2048),
    }.items():
        assert tuple(state[key].shape) == shape


@pytest.mark.parametrize(
    "wrap",
    [lambda s: s, lambda s: {**s, "fc.weight": torch.zeros(3, 2048), "fc.bias": torch.zeros(3)}],
    ids=["whole", "three classes"],
)
def test_resnet50_converts_with_any_classifier(
    resnet: Any, tmp_path: Path, wrap: Callable[[Any], Any]
) -> None:
    loaded = RESNET.load(write(wrap(resnet.state_dict()), tmp_path / "weights.pth"))
    np.testing.assert_allclose(features(loaded)[:, :6], FEATURES, rtol=0, atol=0.5)
    assert not [name for name in loaded.network.weights() if "fc." in name]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: s,
        lambda s: {k: v for k, v in s.items() if "classifier" not in k},
        lambda s: {**s, "classifier.1.weight": torch.zeros(3, 1280)},
        lambda s: {"model_state_dict": {f"module.{k}": v for k, v in s.items()}, "epoch": 1},
        lambda s: {"state_dict": {f"model.{k}": v for k, v in s.items()}},
    ],
    ids=["whole", "features only", "three classes", "module.", "Lightning"],
)
def test_mobilenetv2_converts_with_any_classifier_or_none(
    mobilenet: Any, tmp_path: Path, wrap: Callable[[Any], Any]
) -> None:
    with torch.inference_mode():
        pooled = mobilenet.embed(noise(SIDE)).numpy()
    loaded = MOBILENET.load(write(wrap(mobilenet.state_dict()), tmp_path / "weights.pth"))
    np.testing.assert_allclose(features(loaded), pooled, rtol=0, atol=1e-4 * pooled.max())


def numbers(state: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return the keys of `Sequential(*children()[:-1])`; "" stands for a child without tensors."""
    places = {name: str(number) for number, name in enumerate(names)}
    parts = ((key.partition("."), value) for key, value in state.items())
    return {f"{places[k]}.{rest}": v for (k, _, rest), v in parts if k in places}


RESNETS_CHILDREN = ("conv1", "bn1", "relu", "maxpool", *(f"layer{i}" for i in range(1, 5)))
HEAD = {"head.1.weight": torch.zeros(3, 9), "head.1.bias": torch.zeros(3), "proj": torch.zeros(2)}


@pytest.mark.parametrize("prefix", ["", "backbone.", "encoder.", "model.", "net.backbone."])
@pytest.mark.parametrize("by_number", [False, True], ids=["names", "numbers"])
def test_resnet50_converts_under_any_prefix_with_a_further_head(
    resnet: Any, tmp_path: Path, prefix: str, by_number: bool
) -> None:
    state = dict(resnet.state_dict())
    if by_number:
        state = numbers(state, *RESNETS_CHILDREN)
    own = {**{f"{prefix}{key}": value for key, value in state.items()}, **HEAD}
    loaded = RESNET.load(write(own, tmp_path / "weights.pth"))
    np.testing.assert_allclose(features(loaded)[:, :6], FEATURES, rtol=0, atol=0.5)
    (head,) = (fact for fact in loaded.assumptions if fact.name == "head")
    assert (head.name, head.value, head.origin) == ("head", "head.1, proj", "default")


def in_timms(state: dict[str, Any]) -> dict[str, Any]:
    """Rename the keys of MobileNetV2 to timm's: stages of blocks, and the names of their parts."""
    starts = [1 + sum(stage[2] for stage in STAGES[:i]) for i in range(len(STAGES) + 1)]
    ends = {ours: timm for timm, ours in TIMM_ENDS.items()}
    renamed = {}
    for key, value in state.items():
        module, _, tensor = key.rpartition(".")
        if key.startswith("classifier"):
            renamed[f"classifier.{tensor}"] = value
        elif module in ends:
            renamed[f"{ends[module]}.{tensor}"] = value
        else:
            _, number, _, part = module.split(".", 3)
            stage = max(i for i, start in enumerate(starts) if start <= int(number))
            names = {v: k for k, v in (TIMM_BLOCK if stage else TIMM_FIRST_BLOCK).items()}
            place = f"blocks.{stage}.{int(number) - starts[stage]}"
            renamed[f"{place}.{names[part]}.{tensor}"] = value
    return renamed


@pytest.mark.parametrize(
    "wrap",
    [
        in_timms,
        lambda s: {f"encoder.{key}": value for key, value in in_timms(s).items()} | HEAD,
        lambda s: {f"backbone.{key}": value for key, value in s.items()} | HEAD,
        lambda s: numbers(s, "features"),
        lambda s: {f"body.{k}": v for k, v in numbers(s, "features").items()} | HEAD,
    ],
    ids=["timm", "timm inside", "backbone", "numbers", "numbers inside"],
)
def test_mobilenetv2_converts_from_timm_and_inside_other_networks(
    mobilenet: Any, tmp_path: Path, wrap: Callable[[Any], Any]
) -> None:
    with torch.inference_mode():
        pooled = mobilenet.embed(noise(SIDE)).numpy()
    loaded = MOBILENET.load(write(wrap(mobilenet.state_dict()), tmp_path / "weights.pth"))
    np.testing.assert_allclose(features(loaded), pooled, rtol=0, atol=1e-4 * pooled.max())


def test_timms_keys_of_mobilenetv2() -> None:
    with torch.device("meta"):
        state = MobileNetV2().state_dict()
    # of timm 1.0 mobilenetv2_100: blocks.0.0 is a DepthwiseSeparableConv, the others invert
    for key, shape in {
        "blocks.0.0.conv_dw.weight": (32, 1, 3, 3),
        "blocks.0.0.conv_pw.weight": (16, 32, 1, 1),
        "blocks.1.1.conv_pwl.weight": (24, 144, 1, 1),
        "blocks.6.0.conv_pw.weight": (960, 160, 1, 1),
        "blocks.6.0.bn3.bias": (320,),
        "conv_head.weight": (1280, 320, 1, 1),
    }.items():
        assert tuple(state[from_timm(key)].shape) == shape, key
    assert from_timm("blocks.0.1.conv_dw.weight") == "blocks.0.1.conv_dw.weight"


def test_a_bare_file_warns_that_another_network_has_the_same_keys(
    resnet: Any, tmp_path: Path
) -> None:
    path = write(resnet.state_dict(), tmp_path / "weights.pth")
    fact, scale = RESNET.load(path).assumptions
    assert (fact.value, fact.origin) == ("resnet50", "default")
    assert "resnetaa50" in fact.sentence
    assert (scale.value, scale.origin) == ("imagenet", "default")
    stated = RESNET.load(path, arch="resnet50", input_scale="imagenet").assumptions
    assert [fact.origin for fact in stated] == ["option", "option"]
    (tmp_path / "config.json").write_text('{"architecture": "resnet50"}', encoding="utf-8")
    assert RESNET.load(path).assumptions[0].origin == "file"


@pytest.mark.parametrize(
    "name",
    [
        *("resnetaa50", "timm/resnetaa50.a1h_in1k", "seresnet50", "resnet50d", "resnetblur50"),
        *("resnext50_32x4d", "wide_resnet50_2", "ecaresnet50t", "resnetv2_50", "resnet50_gn"),
    ],
)
def test_networks_of_the_same_keys_are_refused_by_name(tmp_path: Path, name: str) -> None:
    # the name decides before any key does
    path = write({"state_dict": {"conv1.weight": torch.zeros(1)}, "arch": name}, tmp_path / "w.pth")
    with pytest.raises(CheckpointError) as caught:
        RESNET.load(path)
    assert f"a network {name!r} by its settings; this model computes resnet50" in str(caught.value)
    assert "Write a recipe of your own" in str(caught.value)
    with pytest.raises(CheckpointError, match="by --arch"):
        RESNET.load(path, arch=name)


def test_missing_and_unexpected_keys_are_named_together(
    state: dict[str, Any], tmp_path: Path
) -> None:
    changed = dict(state)
    changed["features.99.weight"] = changed.pop("features.2.conv.2.weight")
    text = refusal(write(changed, tmp_path / "weights.pth"))
    assert "not the keys of MobileNetV2: 1 missing (features.2.conv.2.weight)" in text
    assert "1 unexpected (features.99.weight)" in text


def test_another_depth_is_refused(resnet: Any, tmp_path: Path) -> None:
    state = resnet.state_dict()
    deeper = {key.replace("layer3.5", "layer3.22"): value for key, value in state.items()}
    with pytest.raises(CheckpointError, match=r"18 unexpected \(layer3\.22\.bn1\.bias"):
        RESNET.load(write({**deeper, **state}, tmp_path / "weights.pth"))


def test_another_network_is_refused_with_the_way_to_a_recipe(tmp_path: Path) -> None:
    state = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.Linear(8, 2)).state_dict()
    text = refusal(write(state, tmp_path / "weights.pth"))
    assert text.endswith("write a recipe of your own (convert/README.md)")


def test_nan_and_truncated_weights_are_refused(state: dict[str, Any], tmp_path: Path) -> None:
    bad = state["features.2.conv.2.weight"].clone()
    bad[5, 5] = float("nan")
    path = write({**state, "features.2.conv.2.weight": bad}, tmp_path / "weights.pth")
    assert "features.2.conv.2.weight holds NaN" in refusal(path)
    buffer = io.BytesIO()
    torch.save(state, buffer)
    path.write_bytes(buffer.getvalue()[:-1000])
    assert "damaged or truncated" in refusal(path)


def test_preprocessing_equals_torchvisions() -> None:
    """Compare with the weight set's own: side 232, antialiased bilinear, center 224."""
    steps = (Resize("pil_bilinear", shortest_side=232), CenterCrop(224, 224))
    for image in generate_images("scene", EVALUATION, 4):
        height, width = image.shape[:2]
        # torchvision: the longer side is cut to whole pixels
        size = (
            (232, int(232 * width / height)) if height < width else (int(232 * height / width), 232)
        )
        resized = Image.fromarray(image).resize(size[::-1], Image.Resampling.BILINEAR)
        top, left = (round((side - 224) / 2.0) for side in size)
        by_torchvision = np.asarray(resized)[top : top + 224, left : left + 224]
        np.testing.assert_array_equal(preprocess(image, steps), by_torchvision)


@pytest.mark.slow
def test_seeded_resnet50_is_alive_and_its_graph_equals_torch(tmp_path: Path) -> None:
    assert RESNET.seed is not None
    loaded = RESNET.seed()
    assert loaded.preprocess == (
        Resize("pil_bilinear", shortest_side=232),
        CenterCrop(224, 224),
    )
    images = generate_images("scene", EVALUATION, 3)
    batch = np.stack([preprocess(image, loaded.preprocess) for image in images])
    assert max(differences(loaded, batch, tmp_path).values()) <= 1e-4
    answers = expected(loaded, batch)["embedding"]
    assert answers.shape == (3, 2048)
    assert np.abs(answers[0] - answers[1]).max() > 1e-2


TIMMS = {"mean": (0.5, 0.5, 0.5), "std": [0.25, 0.5, 0.5], "interpolation": "bicubic"}


def test_timms_settings_give_scale_and_resizing(mobilenet: Any, tmp_path: Path) -> None:
    state = in_timms(mobilenet.state_dict())
    saved = {"state_dict": state, "arch": "mobilenetv2_100", "pretrained_cfg": TIMMS}
    loaded = MOBILENET.load(write(saved, tmp_path / "weights.pth"))
    grey = np.full((1, 224, 224, 3), 255, np.uint8)
    (pixels,) = loaded.input.apply(grey)
    np.testing.assert_allclose(pixels[0, :, 0, 0], [2, 1, 1])  # (1 - mean) / std
    arch, scale, resizing = loaded.assumptions
    assert (arch.origin, scale.value, scale.origin) == ("file", "0.5,0.5,0.5/0.25,0.5,0.5", "file")
    assert (resizing.value, resizing.origin) == ("pil_bicubic 0.875", "file")
    assert loaded.preprocess == (Resize("pil_bicubic", shortest_side=256), CenterCrop(224, 224))
    # without its settings, timm's names alone warn of it
    bare = MOBILENET.load(write(state, tmp_path / "weights.pth"))
    assert [fact.origin for fact in bare.assumptions] == ["default"] * 3


@pytest.mark.parametrize(
    ("resizing", "step"),
    [
        (
            {"interpolation": "bilinear", "crop_pct": 0.95},
            Resize("pil_bilinear", shortest_side=235),
        ),
        ({"interpolation": "bicubic", "crop_pct": 1}, Resize("pil_bicubic", shortest_side=224)),
        ({"crop_pct": None, "input_size": [3, 224, 224]}, Resize("pil_bicubic", shortest_side=256)),
        ({"crop_mode": "center"}, Resize("pil_bicubic", shortest_side=256)),
    ],
)
def test_timms_resizing_is_followed(
    mobilenet: Any, tmp_path: Path, resizing: dict[str, Any], step: Resize
) -> None:
    saved = {
        "state_dict": in_timms(mobilenet.state_dict()),
        "pretrained_cfg": {**TIMMS, **resizing},
    }
    loaded = MOBILENET.load(write(saved, tmp_path / "weights.pth"))
    assert loaded.preprocess == (step, CenterCrop(224, 224))


@pytest.mark.parametrize(
    ("resizing", "words"),
    [
        ({"interpolation": "lanczos"}, "(lanczos)"),
        ({"crop_mode": "squash", "crop_pct": 1.0}, "(bicubic, and cuts out 1 of the side)"),
        ({"crop_pct": 1.5}, "(bicubic, and cuts out 1.5 of the side)"),
        ({"input_size": [3, 160, 160]}, "(bicubic)"),
    ],
)
def test_other_resizing_of_timm_warns(
    mobilenet: Any, tmp_path: Path, resizing: dict[str, Any], words: str
) -> None:
    saved = {
        "state_dict": in_timms(mobilenet.state_dict()),
        "pretrained_cfg": {**TIMMS, **resizing},
    }
    loaded = MOBILENET.load(write(saved, tmp_path / "weights.pth"))
    assert loaded.preprocess == (Resize("pil_bilinear", shortest_side=256), CenterCrop(224, 224))
    fact = loaded.assumptions[-1]
    assert (fact.value, fact.origin) == ("pil_bilinear", "default")
    assert f"{words}; the model scales their shorter side to 256 px, bilinear" in fact.sentence


def test_features_alone_convert(mobilenet: Any, tmp_path: Path) -> None:
    with torch.inference_mode():
        pooled = mobilenet.embed(noise(SIDE)).numpy()
    path = write(mobilenet.features.state_dict(), tmp_path / "weights.pth")
    answer = features(MOBILENET.load(path))
    np.testing.assert_allclose(answer, pooled, rtol=0, atol=1e-4 * pooled.max())
