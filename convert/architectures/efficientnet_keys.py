"""The sizes of the EfficientNet family, and the names of tensors in its checkpoints.

Our layout has torchvision's names (`features.1.0.block.0.0.weight`). This module renames timm's
(`blocks.0.0.conv_dw.weight`), those of lukemelas/EfficientNet-PyTorch (`_blocks.0._bn1.weight`),
and a classifier that an owner replaced.

Source: Tan and Le, https://arxiv.org/abs/1905.11946, table 1 and section 5.1; torchvision 0.29
and timm 1.0.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# (expansion, kernel, first stride, channels out, repeats) of the paper's table 1, before scaling
STAGES = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
STEM_WIDTH = 32
HEAD_KEY = "features.8.0.weight"
HEAD_WIDTH = 1280

# timm's name of each module: our name
TIMM_ENDS = {
    "conv_stem": "features.0.0",
    "bn1": "features.0.1",
    "conv_head": "features.8.0",
    "bn2": "features.8.1",
}
TIMM_FIRST_STAGE = {
    "conv_dw": "0.0",
    "bn1": "0.1",
    "se.conv_reduce": "1.fc1",
    "se.conv_expand": "1.fc2",
    "conv_pw": "2.0",
    "bn2": "2.1",
}
TIMM_STAGE = {
    "conv_pw": "0.0",
    "bn1": "0.1",
    "conv_dw": "1.0",
    "bn2": "1.1",
    "se.conv_reduce": "2.fc1",
    "se.conv_expand": "2.fc2",
    "conv_pwl": "3.0",
    "bn3": "3.1",
}

# the same of lukemelas/EfficientNet-PyTorch; `_fc` is its classifier
PYTORCH_ENDS = {
    "_conv_stem": "features.0.0",
    "_bn0": "features.0.1",
    "_conv_head": "features.8.0",
    "_bn1": "features.8.1",
    "_fc": "classifier.1",
}
PYTORCH_FIRST_STAGE = {
    "_depthwise_conv": "0.0",
    "_bn1": "0.1",
    "_se_reduce": "1.fc1",
    "_se_expand": "1.fc2",
    "_project_conv": "2.0",
    "_bn2": "2.1",
}
PYTORCH_STAGE = {
    "_expand_conv": "0.0",
    "_bn0": "0.1",
    "_depthwise_conv": "1.0",
    "_bn1": "1.1",
    "_se_reduce": "2.fc1",
    "_se_expand": "2.fc2",
    "_project_conv": "3.0",
    "_bn2": "3.1",
}
PYTORCH_BLOCK = re.compile(r"_blocks\.([0-9]{1,2})\.([a-z0-9_]+)")


@dataclass(frozen=True, slots=True)
class Size:
    """The scaling of one network of the family."""

    name: str
    width: float  # multiplies channels
    depth: float  # multiplies repeats
    side: int  # px; the resolution that the paper gives it

    @property
    def head_channels(self) -> int:
        """Return the width of the pooled features."""
        return self.channels(HEAD_WIDTH)

    @property
    def block_count(self) -> int:
        """Return the number of blocks in all stages."""
        return sum(self.repeats(repeats) for *_, repeats in STAGES)

    def channels(self, base: int) -> int:
        """Scale channels to the nearest multiple of 8, at most a tenth below the exact value."""
        scaled = base * self.width
        rounded = max(8, int(scaled + 4) // 8 * 8)
        return rounded + 8 if rounded < 0.9 * scaled else rounded

    def repeats(self, base: int) -> int:
        """Scale a number of blocks, rounded up."""
        return math.ceil(base * self.depth)


B3 = Size("efficientnet_b3", 1.2, 1.4, 300)
SIZES = (
    Size("efficientnet_b0", 1.0, 1.0, 224),
    Size("efficientnet_b1", 1.0, 1.1, 240),
    Size("efficientnet_b2", 1.1, 1.2, 260),
    B3,
    Size("efficientnet_b4", 1.4, 1.8, 380),
)


def in_our_layout(state: Mapping[str, "torch.Tensor"]) -> dict[str, "torch.Tensor"]:
    """Rename the keys of timm's layout, and of a classifier that an owner replaced, to ours.

    Args:
        state: tensors by torchvision's or timm's names.

    Returns:
        The same tensors. A classifier of one layer, at whatever index, becomes `classifier.1`.
    """
    if "conv_stem.weight" in state:
        state = {from_timm(key): value for key, value in state.items()}
    return with_one_classifier(state)


def with_one_classifier(state: Mapping[str, "torch.Tensor"]) -> dict[str, "torch.Tensor"]:
    """Rename a classifier of one layer, at whatever index, to `classifier.1`."""
    layers = {key.rpartition(".")[0] for key in state if key.startswith("classifier.")}
    if len(layers) != 1:  # none, or several layers: load_strictly names them
        return dict(state)
    old = f"{layers.pop()}."
    return {
        f"classifier.1.{key.removeprefix(old)}" if key.startswith(old) else key: value
        for key, value in state.items()
    }


def from_efficientnet_pytorch(state: Mapping[str, "torch.Tensor"]) -> dict[str, "torch.Tensor"]:
    """Rename the keys of lukemelas/EfficientNet-PyTorch, whose blocks are numbered through."""
    numbers = {int(match[1]) for key in state if (match := PYTORCH_BLOCK.match(key))}
    places = _places(len(numbers))
    return {_from_pytorch(key, places): value for key, value in state.items()}


def _places(count: int) -> list[tuple[int, int]]:
    """Return stage and index of each block of the size that has `count` blocks; [] if none has."""
    size = next((size for size in SIZES if size.block_count == count), None)
    if size is None:
        return []
    stages = enumerate(STAGES, start=1)
    return [(number, i) for number, (*_, base) in stages for i in range(size.repeats(base))]


def _from_pytorch(key: str, places: list[tuple[int, int]]) -> str:
    module, _, tensor = key.rpartition(".")
    if module in PYTORCH_ENDS:
        return f"{PYTORCH_ENDS[module]}.{tensor}"
    match = PYTORCH_BLOCK.match(module)
    if match is None or int(match[1]) >= len(places):
        return key
    stage, index = places[int(match[1])]
    names = PYTORCH_STAGE if stage > 1 else PYTORCH_FIRST_STAGE
    if match[2] not in names:
        return key
    return f"features.{stage}.{index}.block.{names[match[2]]}.{tensor}"


def from_timm(key: str) -> str:
    """Return a key of timm's layout in torchvision's; an unknown key unchanged."""
    module, _, tensor = key.rpartition(".")
    if module in TIMM_ENDS:
        return f"{TIMM_ENDS[module]}.{tensor}"
    match = re.fullmatch(r"blocks\.([0-9]{1,2})\.([0-9]{1,2})\.(.+)", module)
    if match is None:
        return key
    stage, index, part = match.groups()
    names = TIMM_STAGE if int(stage) else TIMM_FIRST_STAGE
    if part not in names:
        return key
    return f"features.{int(stage) + 1}.{index}.block.{names[part]}.{tensor}"


def size_of(state: Mapping[str, "torch.Tensor"]) -> Size:
    """Return the one of SIZES that has the blocks and pooled features of a state_dict.

    Args:
        state: tensors by name, in our layout. For one without blocks the size is B3: load_strictly
            then names what is missing.

    Raises:
        ValueError: it is none of SIZES; the message names the nearest.
    """
    head = state.get(HEAD_KEY)
    blocks = sum(key.endswith(".fc1.weight") for key in state)
    if head is None or head.ndim != 4 or not blocks:
        return B3
    widths = (blocks, head.shape[0])
    for size in SIZES:
        if widths == (size.block_count, size.head_channels):
            return size
    nearest = min(SIZES, key=lambda size: abs(size.block_count - blocks))
    names = f"{SIZES[0].name} to {SIZES[-1].name}"
    raise ValueError(
        f"{blocks} blocks and {head.shape[0]} pooled features; known: {names}; "
        f"nearest: {nearest.name} with {nearest.block_count} and {nearest.head_channels}"
    )
