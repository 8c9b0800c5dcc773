from pathlib import Path

import pytest
import torch  # noqa: TID253 - in a process without TensorFlow

from convert import recipe
from convert.architectures.efficientnet import EfficientNet
from convert.architectures.iresnet import LAYERS, IResNet
from convert.architectures.mobilenetv2 import MobileNetV2
from convert.architectures.resnet import ResNet50
from convert.architectures.u2net import u2net, u2netp
from convert.checkpoint import load_strictly
from convert.checkpoint.nearest import Architecture, architectures, nearest, shapes_of
from tests.convert.support.checkpoint_files import network, refusal

PATH = Path("my weights.pth")


CANDIDATES = shapes_of(architectures())


def nearest_to(state: dict[str, torch.Tensor]) -> str:
    architecture = nearest(state, CANDIDATES)
    return architecture.name if architecture else ""


def on_meta(build: object) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        return build().state_dict()  # type: ignore[operator] # modules and factories alike


@pytest.mark.parametrize("architecture", architectures(), ids=lambda item: item.name)
def test_every_architecture_is_nearest_to_itself(architecture: Architecture) -> None:
    state = on_meta(architecture.build)
    assert nearest_to(state) == architecture.name
    prefixed = {f"model.{key}": value for key, value in state.items()}
    assert nearest_to(prefixed) == architecture.name


def test_every_architecture_belongs_to_a_model() -> None:
    assert {item.model for item in architectures()} <= set(recipe.model_ids())


@pytest.mark.parametrize(
    ("state", "name"),
    [
        (on_meta(lambda: ResNet50(class_count=None)), "resnet50"),
        (on_meta(lambda: ResNet50(class_count=7)), "resnet50"),
        (on_meta(lambda: EfficientNet(class_count=7)), "efficientnet_b3"),
        (on_meta(lambda: IResNet(LAYERS[100], 128)), "iresnet100"),
        (on_meta(network), ""),
        ({"fc.weight": torch.zeros(2)}, ""),
        ({}, ""),
    ],
    ids=["features", "classes", "seven", "narrow", "other net", "one layer", "nothing"],
)
def test_nearest_needs_no_equal_head_and_is_none_for_unknown_networks(
    state: dict[str, torch.Tensor], name: str
) -> None:
    assert nearest_to(state) == name


def test_timms_keys_are_architectures() -> None:
    stages = {"blocks.0.0.conv_dw.weight": torch.zeros(40, 1, 3, 3)}
    timm = {**timm_of(on_meta(EfficientNet)), **stages}
    assert nearest_to(timm) == "efficientnet_b3"


def timm_of(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename torchvision's keys to timm's, by the inverse of the project's tables."""
    from convert.architectures import efficientnet_keys as keys

    ends = {ours: timm for timm, ours in keys.TIMM_ENDS.items()}
    renamed = {}
    for key, value in state.items():
        module, _, tensor = key.rpartition(".")
        if module.startswith("features.") and ".block." in module:
            _, stage, index, _, part = module.split(".", 4)
            table = keys.TIMM_FIRST_STAGE if stage == "1" else keys.TIMM_STAGE
            name = next(timm for timm, ours in table.items() if ours == part)
            module = f"blocks.{int(stage) - 1}.{index}.{name}"
        renamed[f"{ends.get(module, module)}.{tensor}"] = value
    return renamed


def test_refusal_names_the_model_that_these_keys_belong_to() -> None:
    state = on_meta(ResNet50)
    text = refusal(lambda path: load_strictly(MobileNetV2(), state, path=path), PATH)
    assert "not the keys of MobileNetV2" in text
    assert text.endswith(
        "These look like the keys of resnet50: "
        "`python -m convert run image_embedding_resnet50 --checkpoint 'my weights.pth'`"
    )


def test_shapes_tell_another_size_of_the_same_net() -> None:
    state = on_meta(u2net)
    text = refusal(lambda path: load_strictly(u2netp(), state, path=path), PATH)
    assert "These look like the keys of u2net: `python -m convert run background_u2net " in text


def test_damaged_checkpoint_or_variant_of_the_right_net_is_not_sent_in_a_circle() -> None:
    state = on_meta(ResNet50)
    del state["fc.bias"]
    text = refusal(lambda path: load_strictly(ResNet50(), state, path=path), PATH)
    assert text.endswith(
        "1 missing (fc.bias); nothing unexpected; 319 keys found, 320 needed. If it is another "
        "network, write a recipe of your own (convert/README.md)"
    )
