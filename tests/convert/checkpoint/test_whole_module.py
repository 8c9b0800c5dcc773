"""Pickled modules of torchvision, timm and U-2-Net, whose classes are not installed."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch  # noqa: TID253 - in a process without TensorFlow
from torch import nn  # noqa: TID253

from convert.architectures.efficientnet import TENSORFLOW, EfficientNet
from convert.architectures.efficientnet_keys import SIZES
from convert.architectures.mobilenetv2 import MobileNetV2
from convert.architectures.resnet import ResNet50
from convert.architectures.u2net import u2netp
from convert.checkpoint import read_checkpoint, read_state_dict
from convert.errors import CheckpointError
from convert.models import background_u2netp, image_embedding_mobilenetv2, image_embedding_resnet50
from convert.models.face_emotion_efficientnet_b3 import RECIPE as EFFICIENTNET
from tests.convert.models.test_face_emotion_efficientnet_b3 import in_timms
from tests.convert.support.checkpoint_files import network, saved
from tests.convert.support.filled import filled, noise

SIDE = 64


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.pth"


@pytest.fixture
def foreign() -> Iterator[list[str]]:
    """Collect the names of packages that exist only while a test pickles their classes."""
    names: list[str] = []
    yield names
    for name in names:
        sys.modules.pop(name, None)


def rename(names: list[str], module: Any, class_name: str) -> Any:
    """Give a module a class of this name, and bases that behave as the module's own."""
    package, _, name = class_name.rpartition(".")
    for end in range(1, package.count(".") + 2):
        parent = ".".join(package.split(".")[:end])
        if parent not in sys.modules:
            sys.modules[parent] = ModuleType(parent)
            names.append(parent)
    cls = getattr(sys.modules[package], name, None)
    cls = cls or type(name, (type(module),), {"__module__": package})
    setattr(sys.modules[package], name, cls)
    module.__class__ = cls
    for part in module.modules():
        if type(part).__module__.startswith("convert."):
            rename(names, part, f"{package}.{type(part).__name__}")
    return module


def write(path: Path, root: object, names: list[str]) -> Path:
    path.write_bytes(saved(root))
    for name in names:
        sys.modules.pop(name, None)
    return path


def fill(module: Any) -> Any:
    module.load_state_dict(filled(module.state_dict()))
    return module.eval()


def test_a_module_is_read_as_its_state_dict(path: Path) -> None:
    module = network()
    for root in (module, {"model": module, "epoch": 3}, nn.DataParallel(module)):
        state = read_state_dict(write(path, root, []))
        assert state.keys() == module.state_dict().keys()
        assert all(torch.equal(state[key], value) for key, value in module.state_dict().items())


def test_settings_beside_a_module_are_kept(path: Path) -> None:
    root = {"model": network(), "class_names": ["a", "b"], "optimizer": nn.Linear(2, 2)}
    checkpoint = read_checkpoint(write(path, root, []))
    assert checkpoint["class_names"] == ["a", "b"]
    assert "optimizer" not in checkpoint


@pytest.mark.parametrize(
    ("recipe", "build", "class_name", "arch"),
    [
        (image_embedding_resnet50, ResNet50, "torchvision.models.resnet.ResNet", "resnet50"),
        (
            image_embedding_mobilenetv2,
            MobileNetV2,
            "torchvision.models.mobilenetv2.MobileNetV2",
            "mobilenet_v2",
        ),
    ],
)
def test_torchvisions_modules_name_their_network(
    path: Path, foreign: list[str], recipe: Any, build: Any, class_name: str, arch: str
) -> None:
    module = fill(build())
    with torch.inference_mode():
        pooled = module.embed(noise(SIDE)).numpy()
    write(path, rename(foreign, module, class_name), foreign)
    loaded = recipe.RECIPE.load(path)
    (answer,) = loaded.network.forward(noise(SIDE).numpy())
    np.testing.assert_allclose(answer, pooled, rtol=0, atol=1e-4 * np.abs(pooled).max())
    assert (loaded.assumptions[0].value, loaded.assumptions[0].origin) == (arch, "file")


def test_timms_module_of_another_network_is_refused_by_name(path: Path, foreign: list[str]) -> None:
    module = rename(foreign, ResNet50(class_count=3), "timm.models.resnet.ResNet")
    module.pretrained_cfg = {"architecture": "resnetaa50"}
    write(path, module, foreign)
    with pytest.raises(CheckpointError, match="a network 'resnetaa50' by its settings"):
        image_embedding_resnet50.RECIPE.load(path)


@pytest.mark.parametrize("change", ["dilation", "epsilon"])
def test_a_module_with_other_arithmetic_is_refused(
    path: Path, foreign: list[str], change: str
) -> None:
    module = rename(foreign, ResNet50(class_count=3), "torchvision.models.resnet.ResNet")
    if change == "dilation":  # as replace_stride_with_dilation leaves it, keys and shapes equal
        module.layer4[1].conv2.dilation = (2, 2)
    else:
        module.bn1.eps = 1e-3
    write(path, module, foreign)
    with pytest.raises(CheckpointError, match="a network 'modified_resnet50' by its settings"):
        image_embedding_resnet50.RECIPE.load(path)


class Keyed(nn.Module):
    """A module whose state_dict has the given names."""

    def __init__(self, state: dict[str, Any]) -> None:
        super().__init__()
        for key, value in state.items():
            *places, name = key.split(".")
            owner: nn.Module = self
            for place in places:
                if place not in owner._modules:
                    owner.add_module(place, nn.Module())
                owner = owner.get_submodule(place)
            owner.register_buffer(name, value)


@pytest.mark.parametrize("named", [True, False], ids=["by its settings", "by its convolutions"])
def test_timms_efficientnet_tells_its_padding(path: Path, foreign: list[str], named: bool) -> None:
    module = fill(EfficientNet(SIZES[0], class_count=7, arithmetic=TENSORFLOW))
    keyed = rename(
        foreign,
        Keyed(in_timms(module.state_dict())),
        "timm.models.efficientnet.EfficientNet",
    )
    if named:
        keyed.pretrained_cfg = {
            "architecture": "tf_efficientnet_b0",
            "mean": (0.5, 0.5, 0.5),
            "std": (0.5, 0.5, 0.5),
        }
    else:
        rename(foreign, keyed.conv_stem, "timm.layers.conv2d_same.Conv2dSame")
    write(path, keyed, foreign)
    with torch.inference_mode():
        logits = module(noise(SIDE)).numpy()
    loaded = EFFICIENTNET.load(path)
    (answer,) = loaded.network.forward(noise(SIDE).numpy())
    np.testing.assert_allclose(answer, logits, rtol=0, atol=1e-4)
    arch, scale = loaded.assumptions[:2]
    assert (arch.origin, scale.origin) == ("file", "file" if named else "default")


def test_u2nets_module(path: Path, foreign: list[str]) -> None:
    module = fill(u2netp())
    write(path, rename(foreign, module, "model.u2net.U2NETP"), foreign)
    loaded = background_u2netp.RECIPE.load(path)
    with torch.inference_mode():
        expected = module(noise(SIDE)).numpy()
    (answer,) = loaded.network.forward(noise(SIDE).numpy())
    np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-4)


def test_a_module_with_foreign_code_is_not_read(path: Path, foreign: list[str]) -> None:
    module = rename(foreign, network(), "antigravity.flying.Machine")
    write(path, module, foreign)
    with pytest.raises(CheckpointError, match=r"holds more than tensors.*antigravity"):
        read_state_dict(path)
