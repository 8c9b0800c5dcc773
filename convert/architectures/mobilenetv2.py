"""MobileNetV2 in torch, with the state_dict keys of torchvision's `mobilenet_v2`.

`from_timm` renames those of timm's `mobilenetv2_100`, whose padding and epsilon are the same.

Source: Sandler et al., https://arxiv.org/abs/1801.04381, table 2; key layout and epsilon as
torchvision 0.2x (`features.{0..18}`, `classifier.1`).
"""

import re

import torch
from torch import nn

# (expansion, channels out, repeats, first stride) of the paper's table 2
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
EMBEDDING_SIZE = 1280
# the last batch normalisation of each residual branch, which `seed_torch` damps
RESIDUAL_NORMS = ("features.*.conv.3.weight",)

# timm's name of each module: our name
TIMM_ENDS = {
    "conv_stem": "features.0.0",
    "bn1": "features.0.1",
    "conv_head": "features.18.0",
    "bn2": "features.18.1",
}
TIMM_FIRST_BLOCK = {"conv_dw": "0.0", "bn1": "0.1", "conv_pw": "1", "bn2": "2"}
TIMM_BLOCK = {
    "conv_pw": "0.0",
    "bn1": "0.1",
    "conv_dw": "1.0",
    "bn2": "1.1",
    "conv_pwl": "2",
    "bn3": "3",
}
TIMM_KEY = re.compile(r"blocks\.([0-6])\.([0-9])\.(\w+)")


def from_timm(key: str) -> str:
    """Return a key of timm's `mobilenetv2_100` in our layout; an unknown key unchanged."""
    module, _, tensor = key.rpartition(".")
    if module in TIMM_ENDS:
        return f"{TIMM_ENDS[module]}.{tensor}"
    match = TIMM_KEY.fullmatch(module)
    if match is None:
        return key
    stage, index = int(match[1]), int(match[2])
    names = TIMM_BLOCK if stage else TIMM_FIRST_BLOCK
    if match[3] not in names or index >= STAGES[stage][2]:
        return key
    number = 1 + sum(repeats for _, _, repeats, _ in STAGES[:stage]) + index
    return f"features.{number}.conv.{names[match[3]]}.{tensor}"


class MobileNetV2(nn.Module):
    """Image to logits; without classes, to pooled features."""

    def __init__(self, class_count: int | None = 1000) -> None:
        super().__init__()
        layers: list[nn.Module] = [conv_norm_relu6(3, 32, kernel=3, stride=2)]
        channels = 32
        for expansion, out, repeats, first_stride in STAGES:
            for index in range(repeats):
                stride = first_stride if index == 0 else 1
                layers.append(InvertedResidual(channels, out, stride=stride, expansion=expansion))
                channels = out
        layers.append(conv_norm_relu6(channels, EMBEDDING_SIZE, kernel=1))
        self.features = nn.Sequential(*layers)
        self.classifier = (
            nn.Identity()
            if class_count is None
            else nn.Sequential(nn.Dropout(0.2), nn.Linear(EMBEDDING_SIZE, class_count))
        )

    def embed(self, image: torch.Tensor) -> torch.Tensor:
        """Map (N, 3, H, W) normalised float32 to (N, 1280) pooled features."""
        return self.features(image).mean([2, 3])

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map (N, 3, H, W) normalised float32 to (N, class_count) logits, or the features."""
        return self.classifier(self.embed(image))


class InvertedResidual(nn.Module):
    """Expand, filter per channel, project; added to its input where the shapes allow."""

    def __init__(self, channels: int, out: int, *, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = channels * expansion
        expand = [] if expansion == 1 else [conv_norm_relu6(channels, hidden, kernel=1)]
        self.conv = nn.Sequential(
            *expand,
            conv_norm_relu6(hidden, hidden, kernel=3, stride=stride, groups=hidden),
            nn.Conv2d(hidden, out, 1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.residual = stride == 1 and channels == out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to (N, out, H / stride, W / stride)."""
        return x + self.conv(x) if self.residual else self.conv(x)


def conv_norm_relu6(
    channels: int, out: int, *, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution padded to keep the size, batch normalisation, ReLU6; keys "0" and "1"."""
    convolution = nn.Conv2d(
        channels, out, kernel, stride, padding=kernel // 2, groups=groups, bias=False
    )
    return nn.Sequential(convolution, nn.BatchNorm2d(out), nn.ReLU6(inplace=True))
