"""ResNet-50 in torch, with the state_dict keys of torchvision's `resnet50`.

Source: He et al., https://arxiv.org/abs/1512.03385, table 1, in the form called v1.5: a block's
3 x 3 convolution has the stride, not the 1 x 1 before it, as in torchvision 0.29.
"""

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import nn

# (channels inside the blocks, blocks, first stride) of layer1 to layer4
STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))
EXPANSION = 4  # channels of a block's output per channel inside it
EMBEDDING_SIZE = 2048
# the last batch normalisation of each residual branch, which `seed_torch` damps
RESIDUAL_NORMS = ("layer*.bn3.weight",)


class ResNet50(nn.Module):
    """Image to logits, or to pooled features if it has no classes."""

    def __init__(self, class_count: int | None = 1000) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        channels = 64
        for number, (inside, blocks, first_stride) in enumerate(STAGES, start=1):
            stage = [Bottleneck(channels, inside, stride=first_stride)]
            channels = inside * EXPANSION
            stage += [Bottleneck(channels, inside, stride=1) for _ in range(blocks - 1)]
            setattr(self, f"layer{number}", nn.Sequential(*stage))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Identity() if class_count is None else nn.Linear(channels, class_count)

    def embed(self, image: torch.Tensor) -> torch.Tensor:
        """Map (N, 3, H, W) normalised float32 to (N, 2048) pooled features."""
        x = self.maxpool(F.relu(self.bn1(self.conv1(image))))
        for number in range(1, len(STAGES) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        return self.avgpool(x).flatten(1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map (N, 3, H, W) normalised float32 to (N, class_count) logits, or the features."""
        return self.fc(self.embed(image))


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions, added to the input or to a projection of it."""

    def __init__(self, channels: int, inside: int, *, stride: int) -> None:
        super().__init__()
        out = inside * EXPANSION
        self.conv1 = nn.Conv2d(channels, inside, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(inside)
        self.conv2 = nn.Conv2d(inside, inside, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(inside)
        self.conv3 = nn.Conv2d(inside, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.downsample = (
            nn.Identity()
            if stride == 1 and channels == out
            else nn.Sequential(
                nn.Conv2d(channels, out, 1, stride=stride, bias=False), nn.BatchNorm2d(out)
            )
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, channels, H, W) to (N, 4 * inside, H / stride, W / stride)."""
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + self.downsample(x))
