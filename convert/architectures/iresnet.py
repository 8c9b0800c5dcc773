"""IResNet in torch, with the state_dict keys of insightface's `arcface_torch`.

A residual net for faces: no pooling in the stem, batch normalisation before each block's first
convolution, PReLU inside, and a fully connected layer over the whole last map.

Source: Deng et al., https://arxiv.org/abs/1801.07698, and Duta et al.,
https://arxiv.org/abs/2004.04989; key layout, epsilon 1e-5 and the stride in each block's second
convolution as deepinsight/insightface `recognition/arcface_torch/backbones/iresnet.py`. Upstream
fixes `features.weight` at 1; this module reads it like any other.
"""

import re
from collections.abc import Iterable

import torch
from torch import nn

SIDE = 112  # px: the fully connected layer takes a 7 x 7 map, no other size
WIDTHS = (64, 128, 256, 512)
LAYERS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 14, 3), 100: (3, 13, 30, 3)}
# the last batch normalisation of each residual branch, which `seed_torch` damps
RESIDUAL_NORMS = ("layer*.bn3.weight",)


class IResNet(nn.Module):
    """Aligned face to embedding."""

    def __init__(self, layers: tuple[int, ...] = LAYERS[50], embedding_size: int = 512) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        self.prelu = nn.PReLU(WIDTHS[0])
        channels = WIDTHS[0]
        for index, (width, count) in enumerate(zip(WIDTHS, layers, strict=True), start=1):
            setattr(self, f"layer{index}", _stage(channels, width, count))
            channels = width
        self.bn2 = nn.BatchNorm2d(channels)
        self.fc = nn.Linear(channels * (SIDE // 16) ** 2, embedding_size)
        self.features = nn.BatchNorm1d(embedding_size)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map (N, 3, 112, 112) normalised float32 to (N, embedding_size), of any length."""
        x = self.prelu(self.bn1(self.conv1(image)))
        for index in range(1, len(WIDTHS) + 1):
            x = self.get_submodule(f"layer{index}")(x)
        return self.features(self.fc(self.bn2(x).flatten(1)))


class Block(nn.Module):
    """Normalisation, convolution, activation, convolution with the stride; added to the input."""

    def __init__(self, channels: int, out: int, *, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv1 = nn.Conv2d(channels, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.prelu = nn.PReLU(out)
        self.conv2 = nn.Conv2d(out, out, 3, stride, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        if stride != 1 or channels != out:
            shortcut = nn.Conv2d(channels, out, 1, stride, bias=False)
            self.downsample: nn.Module = nn.Sequential(shortcut, nn.BatchNorm2d(out))
        else:
            self.downsample = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, channels, H, W) to (N, out, H / stride, W / stride)."""
        y = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        return self.bn3(self.conv2(y)) + self.downsample(x)


def layers_of(keys: Iterable[str]) -> tuple[int, ...]:
    """Count the blocks of each of the four stages in a state_dict's keys; at least 1."""
    matches = (re.match(r"layer([1-4])\.(\d+)\.", key) for key in keys)
    blocks = {match.groups() for match in matches if match}
    return tuple(
        max(1, sum(stage == str(index) for stage, _ in blocks))
        for index in range(1, len(WIDTHS) + 1)
    )


def _stage(channels: int, width: int, count: int) -> nn.Sequential:
    rest = (Block(width, width, stride=1) for _ in range(count - 1))
    return nn.Sequential(Block(channels, width, stride=2), *rest)
