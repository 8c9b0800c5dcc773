"""EfficientNet: upstream's numbers, both key layouts, and checkpoints as owners save them."""

import io
import json
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch  # noqa: TID253 - in a process without TensorFlow
from PIL import Image

from convert.architectures.efficientnet import (
    PLAIN,
    RESIDUAL_NORMS,
    TENSORFLOW,
    Arithmetic,
    EfficientNet,
)
from convert.architectures.efficientnet_keys import (
    B3,
    PYTORCH_ENDS,
    PYTORCH_FIRST_STAGE,
    PYTORCH_STAGE,
    SIZES,
    STAGES,
    TIMM_ENDS,
    TIMM_FIRST_STAGE,
    TIMM_STAGE,
    Size,
    from_efficientnet_pytorch,
    from_timm,
    in_our_layout,
    size_of,
)
from convert.checkpoint.labels import FER2013
from convert.errors import CheckpointError
from convert.export.numerics import ImageInput
from convert.models.face_emotion_efficientnet_b3 import RECIPE
from convert.recipe import Loaded
from convert.samples.procedural import EVALUATION, generate_images
from convert.weights.seeded import seed_torch
from runtime.artifact.steps import CenterCrop, Resize
from runtime.media.images.preprocess import preprocess
from tests.convert.support.filled import filled, noise
from tests.convert.support.parity import differences, expected

B0 = SIZES[0]
CHECKPOINT_SIDE = 64  # px; small inputs keep these tests quick
# logits of torchvision 0.29.2 and timm 1.0.31 (equal to the last bit where both have the network)
UPSTREAM = {
    ("efficientnet_b0", "plain"): (
        [0.31007, -0.15284, 0.07329, -0.28365, 0.35702, -0.09009, 0.26206],
        [0.31516, -0.14401, 0.07392, -0.2818, 0.36157, -0.09103, 0.26383],
    ),
    ("efficientnet_b0", "tensorflow"): (
        [0.3118, -0.14012, 0.06805, -0.28401, 0.35961, -0.09325, 0.25129],
        [0.31636, -0.13436, 0.07938, -0.28472, 0.35342, -0.09395, 0.27006],
    ),
    ("efficientnet_b3", "plain"): (
        [0.66818, 1.36848, 0.28806, 2.67249, -5.72552, -2.36749, -1.99712],
        [1.4442, 0.83307, 0.41183, 2.74553, -1.86136, -0.43917, -0.85699],
    ),
    ("efficientnet_b3", "tensorflow"): (
        [0.21431, 0.78488, 0.58184, 2.59149, -1.66141, -0.8505, -1.1527],
        [0.0673, 0.91511, 0.24089, 2.46349, -1.88181, -0.36815, -1.03956],
    ),
}
NORMALISED = ImageInput(
    CHECKPOINT_SIDE, 75, 3, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)
ARITHMETIC = {"plain": PLAIN, "tensorflow": TENSORFLOW}
NAMES = {f"class {i}": i for i in range(5)}


def network(size: Size = B0, *, class_count: int = 7, arithmetic: Arithmetic = PLAIN) -> Any:
    """Build the network with the weights that the recorded outputs belong to."""
    module = EfficientNet(size, class_count=class_count, arithmetic=arithmetic)
    module.load_state_dict(filled(module.state_dict()))
    return module.eval()


@pytest.fixture(scope="module")
def state() -> dict[str, Any]:
    """B0 of seven classes: the smallest checkpoint there is."""
    return dict(network().state_dict())


def timm_key(key: str) -> str:
    """Rename one of our keys to timm's, by the inverse of the project's tables."""
    module, _, tensor = key.rpartition(".")
    ends = {ours: timm for timm, ours in TIMM_ENDS.items()} | {"classifier.1": "classifier"}
    if module in ends:
        return f"{ends[module]}.{tensor}"
    _, stage, index, _, part = module.split(".", 4)
    names = TIMM_STAGE if int(stage) > 1 else TIMM_FIRST_STAGE
    name = {ours: timm for timm, ours in names.items()}[part]
    return f"blocks.{int(stage) - 1}.{index}.{name}.{tensor}"


def in_timms(state: Mapping[str, Any]) -> dict[str, Any]:
    return {timm_key(key): value for key, value in state.items()}


def write(content: object, path: Path) -> Path:
    torch.save(content, path)
    return path


def logits(loaded: Loaded, side: int = CHECKPOINT_SIDE) -> Any:
    return loaded.network.forward(noise(side).numpy())[0]


def refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        RECIPE.load(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return text


@pytest.mark.parametrize(("name", "arithmetic"), UPSTREAM)
def test_logits_equal_upstreams(name: str, arithmetic: str) -> None:
    size = next(size for size in SIZES if size.name == name)
    with torch.inference_mode():
        output = network(size, arithmetic=ARITHMETIC[arithmetic])(noise(75)).numpy()
    recorded = np.array(UPSTREAM[name, arithmetic])
    # of the largest: another order of summation, on another CPU, moves the last digits
    np.testing.assert_allclose(output, recorded, rtol=0, atol=1e-4 * np.abs(recorded).max())


@pytest.mark.parametrize(
    ("size", "tensors", "parameters"),
    [
        (SIZES[0], 360, 5_288_548),
        (SIZES[1], 508, 7_794_184),
        (SIZES[2], 508, 9_109_994),
        (SIZES[3], 574, 12_233_232),
        (SIZES[4], 706, 19_341_616),
    ],
    ids=["b0", "b1", "b2", "b3", "b4"],
)
def test_sizes_are_torchvisions(size: Size, tensors: int, parameters: int) -> None:
    with torch.device("meta"):
        module = EfficientNet(size)
    state = module.state_dict()
    assert len(state) == tensors
    assert sum(p.numel() for p in module.parameters()) == parameters
    assert size_of(state) == size
    assert size_of(in_our_layout(in_timms(state))) == size


def test_timms_names_and_shapes_of_b3() -> None:
    with torch.device("meta"):
        state = EfficientNet(B3).state_dict()
    assert (B3.block_count, B3.head_channels, B3.side) == (26, 1536, 300)
    for key, shape in {
        "conv_stem.weight": (40, 3, 3, 3),
        "blocks.0.0.bn2.weight": (24,),
        "blocks.0.1.se.conv_reduce.weight": (6, 24, 1, 1),
        "blocks.1.0.bn3.bias": (32,),
        "blocks.2.0.conv_dw.weight": (192, 1, 5, 5),
        "blocks.5.3.se.conv_expand.bias": (1392,),
        "blocks.6.1.conv_pwl.weight": (384, 2304, 1, 1),
        "conv_head.weight": (1536, 384, 1, 1),
        "bn2.running_var": (1536,),
    }.items():
        assert tuple(state[from_timm(key)].shape) == shape, key


def test_unknown_keys_keep_their_names() -> None:
    for key in ("blocks.0.0.conv_pwl.weight", "blocks.1.attn.weight", "fc.weight", "blocks", ""):
        assert from_timm(key) == key


@pytest.mark.parametrize(
    ("wrap", "renamed"),
    [
        (lambda s: s, dict),
        (lambda s: s, in_timms),
        (lambda s: {"model_state_dict": s, "epoch": 3}, in_timms),
        (lambda s: {"state_dict": {f"module.{k}": v for k, v in s.items()}}, dict),
        (lambda s: {"state_dict": {f"model.{k}": v for k, v in s.items()}}, in_timms),
        (lambda s: {f"backbone.{k}": v for k, v in s.items()}, dict),
        (lambda s: {"state_dict": s, "args": Namespace(lr=0.1, img_size=None)}, in_timms),
    ],
    ids=["bare", "timm", "model_state_dict", "module.", "Lightning", "backbone.", "Namespace"],
)
def test_both_layouts_convert_bare_or_wrapped(
    state: dict[str, Any], tmp_path: Path, wrap: Callable[[Any], Any], renamed: Callable[[Any], Any]
) -> None:
    loaded = RECIPE.load(write(wrap(renamed(state)), tmp_path / "weights.pth"))
    with torch.inference_mode():
        output = network()(noise(CHECKPOINT_SIDE)).numpy()
    np.testing.assert_allclose(logits(loaded), output, rtol=0, atol=1e-4 * np.abs(output).max())
    assert loaded.labels == FER2013
    assert loaded.input.tensors[0].shape == ("N", 224, 224, 3)  # B0's own resolution


@pytest.mark.parametrize("classifier", ["classifier", "classifier.0", "classifier.4"])
def test_classifier_may_be_at_another_key(
    state: dict[str, Any], tmp_path: Path, classifier: str
) -> None:
    moved = {key.replace("classifier.1", classifier): value for key, value in state.items()}
    loaded = RECIPE.load(write(moved, tmp_path / "weights.pth"))
    straight = RECIPE.load(write(state, tmp_path / "straight.pth"))
    np.testing.assert_array_equal(logits(loaded), logits(straight))


def test_classifier_of_two_layers_is_refused(state: dict[str, Any], tmp_path: Path) -> None:
    path = write({**state, "classifier.3.weight": torch.zeros(7, 7)}, tmp_path / "weights.pth")
    assert "1 unexpected (classifier.3.weight)" in refusal(path)


@pytest.mark.parametrize(
    ("extras", "arithmetic"),
    [
        ({}, "plain"),
        ({"arch": "efficientnet_b0"}, "plain"),
        ({"arch": "emotions"}, "plain"),
        ({"arch": "tf_efficientnet_b0.ns_jft_in1k"}, "tensorflow"),
        ({"args": Namespace(arch="tf_efficientnet_b0")}, "tensorflow"),
    ],
    ids=["unsaid", "arch", "other arch", "tf arch", "tf arch in args"],
)
def test_arch_selects_tensorflows_arithmetic(
    state: dict[str, Any], tmp_path: Path, extras: dict[str, Any], arithmetic: str
) -> None:
    # the file's name decides nothing: renamed, it is the same checkpoint
    path = write({"state_dict": in_timms(state), **extras}, tmp_path / "tf_efficientnet.pth")
    recorded = np.array(UPSTREAM["efficientnet_b0", arithmetic])
    np.testing.assert_allclose(logits(RECIPE.load(path), 75), recorded, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("key", "where"),
    [
        *[(key, "top") for key in ("model_name", "backbone", "architecture", "encoder_name")],
        *[("model", where) for where in ("args", "config", "hparams")],
        ("architecture", "config.json"),
    ],
)
def test_every_usual_place_may_name_the_network(
    state: dict[str, Any], tmp_path: Path, key: str, where: str
) -> None:
    name = {key: "timm/tf_efficientnet_b0.ns_jft_in1k"}
    saved: dict[str, Any] = {"state_dict": in_timms(state)}
    if where == "config.json":
        (tmp_path / "config.json").write_text(json.dumps(name), encoding="utf-8")
    else:
        saved |= name if where == "top" else {where: Namespace(**name)}
    loaded = RECIPE.load(write(saved, tmp_path / "weights.pth"))
    recorded = np.array(UPSTREAM["efficientnet_b0", "tensorflow"])
    np.testing.assert_allclose(logits(loaded, 75), recorded, rtol=0, atol=1e-4)
    fact = loaded.assumptions[0]
    assert (fact.name, fact.origin) == ("arch", "file")


def test_timms_keys_without_a_name_warn_and_an_option_decides(
    state: dict[str, Any], tmp_path: Path
) -> None:
    path = write({"state_dict": in_timms(state), "arch": "resnet50"}, tmp_path / "weights.pth")
    fact = RECIPE.load(path).assumptions[0]
    assert (fact.name, fact.value, fact.origin) == ("arch", "efficientnet_b0", "default")
    assert "assumed: efficientnet_b0. State it: --arch efficientnet_b0 or --arch tf_" in (
        fact.sentence
    )
    for arch, arithmetic in (("efficientnet_b0", "plain"), ("tf_efficientnet_b0", "tensorflow")):
        loaded = RECIPE.load(path, arch=arch)
        recorded = np.array(UPSTREAM["efficientnet_b0", arithmetic])
        np.testing.assert_allclose(logits(loaded, 75), recorded, rtol=0, atol=1e-4)
        assert loaded.assumptions[0].origin == "option"


@pytest.mark.parametrize(
    ("renamed", "arch", "allowed"),
    [
        (in_timms, "efficientnet_b3", "(timm's) and shapes allowed: efficientnet_b0, tf_"),
        (in_timms, "resnet50", "--arch is 'resnet50'"),
        (dict, "tf_efficientnet_b0", "(torchvision's) and shapes allowed: efficientnet_b0"),
    ],
)
def test_an_option_that_contradicts_the_file_is_refused(
    state: dict[str, Any], tmp_path: Path, renamed: Any, arch: str, allowed: str
) -> None:
    path = write(renamed(state), tmp_path / "weights.pth")
    with pytest.raises(CheckpointError) as caught:
        RECIPE.load(path, arch=arch)
    assert allowed in str(caught.value)


def test_torchvisions_keys_tell_the_arithmetic(state: dict[str, Any], tmp_path: Path) -> None:
    fact, scale, size = RECIPE.load(write(state, tmp_path / "weights.pth")).assumptions
    assert (fact.value, fact.origin) == ("efficientnet_b0", "file")
    assert (scale.value, scale.origin) == ("imagenet", "default")
    assert (size.value, size.origin) == ("224x224", "default")
    assert "State it: --input-size 224" in size.sentence


def test_options_state_scale_and_size(state: dict[str, Any], tmp_path: Path) -> None:
    path = write({"state_dict": state, "input_size": 260}, tmp_path / "weights.pth")
    for stated, size in (("96", (96, 96)), ("96x128", (96, 128))):
        loaded = RECIPE.load(path, input_scale="symmetric", input_size=stated)
        assert loaded.input.tensors[0].shape == ("N", *size, 3)
        (pixels,) = loaded.input.apply(np.full((1, *size, 3), 255, np.uint8))
        assert pixels.max() == pixels.min() == 1
        assert [fact.origin for fact in loaded.assumptions] == ["file", "option", "option"]
    for stated in ("wide", "96x", "31"):
        with pytest.raises(CheckpointError, match="allowed: 32 to 1024 px"):
            RECIPE.load(path, input_size=stated)


def test_timms_settings_give_scale_and_size(state: dict[str, Any], tmp_path: Path) -> None:
    config = {"mean": [0.5] * 3, "std": [0.5] * 3, "input_size": [3, 288, 288], "crop_pct": 0.9}
    path = write(in_timms(state), tmp_path / "weights.pth")
    (tmp_path / "config.json").write_text(
        json.dumps(
            {"architecture": "tf_efficientnet_b0", "pretrained_cfg": {**config, "mean": None}}
        ),
        encoding="utf-8",
    )
    facts = {fact.name: fact for fact in RECIPE.load(path).assumptions}
    assert facts["input_scale"].origin == "default"  # no mean
    saved = {"state_dict": in_timms(state), "pretrained_cfg": {**config, "interpolation": "cubic"}}
    facts = {fact.name: fact for fact in RECIPE.load(write(saved, path)).assumptions}
    assert (facts["input_scale"].value, facts["input_scale"].origin) == (
        "0.5,0.5,0.5/0.5,0.5,0.5",
        "file",
    )
    assert (facts["input_size"].value, facts["input_size"].origin) == ("288x288", "file")
    assert "(cubic, and cuts out 0.9 of the side)" in facts["resize"].sentence


def test_timms_resizing_is_followed_from_a_config_alone(
    state: dict[str, Any], tmp_path: Path
) -> None:
    # a checkpoint may hold the settings of the network that its training began with
    config = {"input_size": [3, 288, 288], "interpolation": "bicubic", "crop_pct": 0.9}
    path = write(
        {"state_dict": in_timms(state), "pretrained_cfg": config}, tmp_path / "weights.pth"
    )
    loaded = RECIPE.load(path)
    assert loaded.preprocess == (Resize("pil_bilinear", height=288, width=288),)
    assert "(bicubic, and cuts out 0.9 of the side)" in loaded.assumptions[-1].sentence
    write(in_timms(state), path)
    settings = {"architecture": "efficientnet_b0", "pretrained_cfg": config}
    (tmp_path / "config.json").write_text(json.dumps(settings), encoding="utf-8")
    loaded = RECIPE.load(path)
    assert loaded.preprocess == (
        Resize("pil_bicubic", shortest_side=320),
        CenterCrop(288, 288),
    )
    assert loaded.assumptions[-1].value == "pil_bicubic 0.9"
    # another size than timm's
    loaded = RECIPE.load(path, input_size="256")
    assert loaded.preprocess == (Resize("pil_bilinear", height=256, width=256),)
    assert loaded.assumptions[-1].origin == "default"


def in_efficientnet_pytorch(state: Mapping[str, Any], size: Size = B0) -> dict[str, Any]:
    """Rename our keys to those of lukemelas/EfficientNet-PyTorch, by the inverse of the tables."""
    counts = [size.repeats(repeats) for *_, repeats in STAGES]
    renamed = {}
    for key, value in state.items():
        module, _, tensor = key.rpartition(".")
        ends = {ours: theirs for theirs, ours in PYTORCH_ENDS.items()}
        if module in ends:
            renamed[f"{ends[module]}.{tensor}"] = value
            continue
        _, stage, index, _, part = module.split(".", 4)
        names = PYTORCH_STAGE if int(stage) > 1 else PYTORCH_FIRST_STAGE
        name = {ours: theirs for theirs, ours in names.items()}[part]
        number = sum(counts[: int(stage) - 1]) + int(index)
        renamed[f"_blocks.{number}.{name}.{tensor}"] = value
    return renamed


@pytest.mark.parametrize("size", SIZES, ids=lambda size: size.name)
def test_every_size_of_efficientnet_pytorch_is_known(size: Size) -> None:
    with torch.device("meta"):
        state = EfficientNet(size, class_count=3).state_dict()
    assert from_efficientnet_pytorch(in_efficientnet_pytorch(state, size)).keys() == state.keys()


def test_efficientnet_pytorch_computes_as_tensorflow(tmp_path: Path) -> None:
    renamed = in_efficientnet_pytorch(network().state_dict())
    assert "_blocks.15._project_conv.weight" in renamed
    loaded = RECIPE.load(write(renamed, tmp_path / "weights.pth"))
    recorded = np.array(UPSTREAM["efficientnet_b0", "tensorflow"])
    np.testing.assert_allclose(logits(loaded, 75), recorded, rtol=0, atol=1e-4)
    assert loaded.assumptions[0].origin == "file"
    # upstream pads for 224 px, whatever the image: 225 would be padded otherwise
    path = write({"state_dict": renamed, "img_size": 225}, tmp_path / "odd.pth")
    assert "pads an image of 225 px as one of 224 px" in refusal(path)


def with_children_numbered(state: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return the keys of `Sequential(*children()[:-1])`."""
    numbers = {name: str(number) for number, name in enumerate(names)}
    parts = ((key.partition("."), value) for key, value in state.items())
    return {f"{numbers[k]}.{rest}": v for (k, _, rest), v in parts if k in numbers}


TIMMS_CHILDREN = ("conv_stem", "bn1", "blocks", "conv_head", "bn2")


@pytest.mark.parametrize("head", ["fc", "_fc", "head", "head.fc", "last_linear", "emotion.2"])
@pytest.mark.parametrize(
    ("layout", "renamed"),
    [
        ("backbone.", dict),
        ("encoder.", in_timms),
        ("model.", lambda s: in_efficientnet_pytorch(s)),
        ("features.", lambda s: with_children_numbered(s, "features")),
        ("net.", lambda s: with_children_numbered(in_timms(s), *TIMMS_CHILDREN)),
        ("", in_timms),
    ],
    ids=["torchvision", "timm", "efficientnet_pytorch", "numbers", "timm's numbers", "no prefix"],
)
def test_an_own_head_on_a_backbone_is_what_is_left_over(
    state: dict[str, Any], tmp_path: Path, head: str, layout: str, renamed: Any
) -> None:
    body = {k: v for k, v in renamed(state).items() if not k.startswith(("classifier", "_fc"))}
    own = {f"{layout}{key}": value for key, value in body.items()}
    own[f"{head}.weight"] = state["classifier.1.weight"]
    own[f"{head}.bias"] = state["classifier.1.bias"]
    saved = {"state_dict": own, "criterion.weight": torch.zeros(7), "arch": "tf_efficientnet_b0"}
    loaded = RECIPE.load(write(saved, tmp_path / "weights.pth"))
    is_torchvisions = renamed is dict or layout == "features."
    arithmetic = "plain" if is_torchvisions else "tensorflow"
    recorded = np.array(UPSTREAM["efficientnet_b0", arithmetic])
    np.testing.assert_allclose(logits(loaded, 75), recorded, rtol=0, atol=1e-4)
    facts = {fact.name: (fact.value, fact.origin) for fact in loaded.assumptions}
    if (layout, head) != ("model.", "_fc"):
        assert facts["head"] == (head, "default")


def test_a_head_of_two_layers_on_a_backbone_is_refused(
    state: dict[str, Any], tmp_path: Path
) -> None:
    own = {f"backbone.{k}": v for k, v in state.items() if not k.startswith("classifier")}
    own |= {"head.0.weight": torch.zeros(9, 1280), "head.2.weight": torch.zeros(7, 9)}
    text = refusal(write(own, tmp_path / "weights.pth"))
    assert "2 unexpected (head.0.weight, head.2.weight)" in text


@pytest.mark.parametrize(
    ("extras", "size"),
    [
        ({"input_size": 260}, (260, 260)),
        ({"img_size": (96, 128)}, (96, 128)),
        ({"config": {"input_size": [3, 300, 300]}}, (300, 300)),
        ({"input_size": None, "args": Namespace(img_size=288)}, (288, 288)),
        ({"hparams": {"image_size": 256}}, (256, 256)),
    ],
    ids=["side", "sides", "timm", "args", "image_size"],
)
def test_resolution_comes_from_the_checkpoint(
    state: dict[str, Any], tmp_path: Path, extras: dict[str, Any], size: tuple[int, int]
) -> None:
    loaded = RECIPE.load(write({"state_dict": state, **extras}, tmp_path / "weights.pth"))
    assert loaded.input.tensors[0].shape == ("N", *size, 3)
    assert loaded.preprocess == (Resize("pil_bilinear", height=size[0], width=size[1]),)


@pytest.mark.parametrize("value", [0, 31, 1025, True, "300", 300.0, (300,), (300, -1)])
def test_resolutions_outside_the_limits_are_refused(
    state: dict[str, Any], tmp_path: Path, value: object
) -> None:
    path = write({"state_dict": state, "input_size": value}, tmp_path / "weights.pth")
    text = refusal(path)
    assert f"its settings give the input the size {value}; allowed: 32 to 1024 px" in text


def test_labels_come_from_the_checkpoint(tmp_path: Path) -> None:
    saved = {"model_state_dict": network(class_count=5).state_dict(), "class_to_idx": NAMES}
    assert RECIPE.load(write(saved, tmp_path / "weights.pth")).labels == tuple(NAMES)


def test_labels_of_an_unusual_count_are_left_to_the_user(tmp_path: Path) -> None:
    path = write(network(class_count=5).state_dict(), tmp_path / "weights.pth")
    assert RECIPE.load(path).labels == ()


def test_labels_of_another_count_are_refused(state: dict[str, Any], tmp_path: Path) -> None:
    path = write({"state_dict": state, "class_to_idx": NAMES}, tmp_path / "weights.pth")
    text = refusal(path)
    assert "names 5 classes (class 0, class 1, class 2, class 3, class 4)" in text
    assert "its classifier has 7" in text


def test_one_class_is_refused(tmp_path: Path) -> None:
    path = write(network(class_count=1).state_dict(), tmp_path / "weights.pth")
    assert "the classifier has 1 classes; at least two" in refusal(path)


@pytest.mark.parametrize("renamed", [dict, in_timms], ids=["torchvision", "timm"])
def test_missing_and_unexpected_keys_are_named_together(
    state: dict[str, Any], tmp_path: Path, renamed: Callable[[Any], dict[str, Any]]
) -> None:
    changed = renamed(state)
    changed["extra.weight"] = changed.pop(next(key for key in changed if ".0.0." in key))
    text = refusal(write(changed, tmp_path / "weights.pth"))
    assert "not the keys of EfficientNet: 1 missing (features." in text
    assert "1 unexpected (extra.weight)" in text
    assert ("the file's are timm's" in text) == (renamed is in_timms)


def test_features_without_a_classifier_are_refused(state: dict[str, Any], tmp_path: Path) -> None:
    bare = {key: value for key, value in state.items() if "classifier" not in key}
    text = refusal(write(bare, tmp_path / "weights.pth"))
    assert "2 missing (classifier.1.bias, classifier.1.weight)" in text


def test_another_size_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with torch.device("meta"):
        b5 = EfficientNet(Size("efficientnet_b5", 1.6, 2.2, 456), class_count=7).state_dict()
    with pytest.raises(ValueError, match="39 blocks and 2048 pooled features") as caught:
        size_of(b5)
    assert "nearest: efficientnet_b4 with 32 and 1792" in str(caught.value)
    few = {**network().state_dict(), "features.8.0.weight": torch.zeros(9, 320, 1, 1)}
    text = refusal(write(few, tmp_path / "weights.pth"))
    assert "no EfficientNet that is known here: 16 blocks and 9 pooled features" in text
    assert "nearest: efficientnet_b0" in text


def test_nan_weights_are_refused(state: dict[str, Any], tmp_path: Path) -> None:
    bad = state["features.3.0.block.1.0.weight"].clone()
    bad[0, 0, 0, 0] = float("nan")
    path = write({**state, "features.3.0.block.1.0.weight": bad}, tmp_path / "weights.pth")
    assert "features.3.0.block.1.0.weight holds NaN" in refusal(path)


@pytest.mark.parametrize("share", [0.0001, 0.5, 0.999])
def test_truncated_file_is_refused(state: dict[str, Any], tmp_path: Path, share: float) -> None:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content, path = buffer.getvalue(), tmp_path / "weights.pth"
    path.write_bytes(content[: int(len(content) * share)])
    assert "damaged or truncated" in refusal(path)


@pytest.mark.parametrize(
    ("size", "arithmetic"),
    [(size, "plain") for size in SIZES] + [(size, "tensorflow") for size in (B0, B3)],
    ids=lambda value: str(getattr(value, "name", value)),
)
def test_float_graph_equals_torch_at_every_size(
    tmp_path: Path, size: Size, arithmetic: str
) -> None:
    module = EfficientNet(size, class_count=7, arithmetic=ARITHMETIC[arithmetic])
    batch = np.random.default_rng(1).integers(0, 256, (6, CHECKPOINT_SIDE, 75, 3), dtype=np.uint8)
    # the statistics are of these very pixels: other pixels could give logits of any size
    seed_torch(module, NORMALISED.apply(batch), residual_norms=RESIDUAL_NORMS)
    saved = {
        "state_dict": in_timms(module.state_dict()),
        "input_size": (CHECKPOINT_SIDE, 75),
        "arch": "tf_efficientnet" if arithmetic == "tensorflow" else "efficientnet",
    }
    loaded = RECIPE.load(write(saved, tmp_path / "weights.pth"))
    errors = differences(loaded, batch[:3], tmp_path)
    assert max(errors.values()) <= 1e-4, errors
    answers = expected(loaded, batch[:3])["probabilities"]
    assert np.abs(answers[0] - answers[1]).max() > 1e-3


def test_preprocessing_equals_pillows() -> None:
    """`transforms.Resize((300, 300))` of an image in the usual training script."""
    step = Resize("pil_bilinear", height=300, width=300)
    for image in [
        *generate_images("face", EVALUATION, 2),
        *generate_images("scene", EVALUATION, 2),
    ]:
        by_pillow = Image.fromarray(image).resize((300, 300), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(preprocess(image, (step,)), np.asarray(by_pillow))


@pytest.mark.slow
def test_seeded_b3_is_alive_and_its_graph_equals_torch(tmp_path: Path) -> None:
    assert RECIPE.seed is not None
    loaded = RECIPE.seed()
    images = generate_images("face", EVALUATION, 3)
    batch = np.stack([preprocess(image, loaded.preprocess) for image in images])
    assert max(differences(loaded, batch, tmp_path).values()) <= 1e-4
    answers = expected(loaded, batch)["probabilities"]
    assert np.abs(answers[0] - answers[1]).max() > 1e-3
