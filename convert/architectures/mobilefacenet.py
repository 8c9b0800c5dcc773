"""MobileFaceNet in torch, in the two key layouts that its checkpoints have.

| class | upstream | activation | its checkpoints' input |
|---|---|---|---|
| MobileFaceNet | foamliu/MobileFaceNet `mobilefacenet.py` | ReLU6; ReLU in `dw_conv` | ImageNet |
| PReluMobileFaceNet | TreB1eN/InsightFace_Pytorch `model.py` | PReLU | (x / 255 - 0.5) / 0.5 |

Source: Chen et al., https://arxiv.org/abs/1804.07573, table 1: inverted residuals at 112 x 112, the
last map reduced by a global depthwise convolution instead of a mean. All batch normalisation has
torch's default epsilon, 1e-5.
"""

import torch
from torch import nn

from convert.architectures.mobilenetv2 import InvertedResidual, conv_norm_relu6

SIDE = 112  # px: the global depthwise convolution takes a 7 x 7 map, no other size
STEM, WIDE = 64, 512
# (expansion, channels out, repeats, first stride) of the paper's table 1
STAGES = ((2, 64, 5, 2), (4, 128, 1, 2), (2, 128, 6, 1), (4, 128, 1, 2), (2, 128, 2, 1))
# the last batch normalisation of each residual branch, which `seed_torch` damps
RESIDUAL_NORMS = ("features.*.conv.3.weight",)


class MobileFaceNet(nn.Module):
    """Aligned face to embedding, with foamliu's keys (`dw_conv`, `features.0`, `gdconv`)."""

    def __init__(self, embedding_size: int = 128) -> None:
        super().__init__()
        self.conv1 = conv_norm_relu6(3, STEM, kernel=3, stride=2)
        self.dw_conv = SeparableConvolution(STEM)
        blocks: list[nn.Module] = []
        channels = STEM
        for expansion, out, repeats, first_stride in STAGES:
            for index in range(repeats):
                stride = first_stride if index == 0 else 1
                blocks.append(InvertedResidual(channels, out, stride=stride, expansion=expansion))
                channels = out
        self.features = nn.Sequential(*blocks)
        self.conv2 = conv_norm_relu6(channels, WIDE, kernel=1)
        self.gdconv = GlobalDepthwise(WIDE)
        self.conv3 = nn.Conv2d(WIDE, embedding_size, 1)
        self.bn = nn.BatchNorm2d(embedding_size)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map (N, 3, 112, 112) normalised float32 to (N, embedding_size), of any length."""
        x = self.conv2(self.features(self.dw_conv(self.conv1(image))))
        return self.bn(self.conv3(self.gdconv(x))).flatten(1)


class SeparableConvolution(nn.Module):
    """Depthwise 3 x 3, then 1 x 1, each with batch normalisation and ReLU (not 6)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to the same shape."""
        return torch.relu(self.bn2(self.pointwise(torch.relu(self.bn1(self.depthwise(x))))))


class GlobalDepthwise(nn.Module):
    """One 7 x 7 filter per channel over the whole map, without activation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(channels, channels, 7, groups=channels, bias=False)
        self.bn = nn.BatchNorm2d(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, 7, 7) to (N, C, 1, 1)."""
        return self.bn(self.depthwise(x))


class PReluMobileFaceNet(nn.Module):
    """Aligned face to embedding, with InsightFace_Pytorch's keys (`conv_23.conv_dw`, `linear`)."""

    def __init__(self, embedding_size: int = 512) -> None:
        super().__init__()
        self.conv1 = PReluConvolution(3, STEM, kernel=3, stride=2)
        self.conv2_dw = PReluConvolution(STEM, STEM, kernel=3, groups=STEM)
        self.conv_23 = Bottleneck(64, 64, hidden=128, stride=2)
        self.conv_3 = Residuals(64, hidden=128, repeats=4)
        self.conv_34 = Bottleneck(64, 128, hidden=256, stride=2)
        self.conv_4 = Residuals(128, hidden=256, repeats=6)
        self.conv_45 = Bottleneck(128, 128, hidden=512, stride=2)
        self.conv_5 = Residuals(128, hidden=256, repeats=2)
        self.conv_6_sep = PReluConvolution(128, WIDE, kernel=1)
        self.conv_6_dw = LinearConvolution(WIDE, WIDE, kernel=7, groups=WIDE, padding=0)
        self.linear = nn.Linear(WIDE, embedding_size, bias=False)
        self.bn = nn.BatchNorm1d(embedding_size)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map (N, 3, 112, 112) normalised float32 to (N, embedding_size), of any length."""
        x = self.conv_3(self.conv_23(self.conv2_dw(self.conv1(image))))
        x = self.conv_5(self.conv_45(self.conv_4(self.conv_34(x))))
        return self.bn(self.linear(self.conv_6_dw(self.conv_6_sep(x)).flatten(1)))


class LinearConvolution(nn.Module):
    """Convolution and batch normalisation."""

    def __init__(
        self,
        channels: int,
        out: int,
        *,
        kernel: int,
        stride: int = 1,
        groups: int = 1,
        padding: int | None = None,
    ) -> None:
        super().__init__()
        around = kernel // 2 if padding is None else padding
        self.conv = nn.Conv2d(channels, out, kernel, stride, around, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, channels, H, W) to (N, out, H / stride, W / stride)."""
        return self.bn(self.conv(x))


class PReluConvolution(LinearConvolution):
    """Convolution, batch normalisation and PReLU with one slope per channel."""

    def __init__(
        self, channels: int, out: int, *, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        super().__init__(channels, out, kernel=kernel, stride=stride, groups=groups)
        self.prelu = nn.PReLU(out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, channels, H, W) to (N, out, H / stride, W / stride)."""
        return self.prelu(super().forward(x))


class Bottleneck(nn.Module):
    """Expansion, depthwise convolution, projection; without a shortcut."""

    def __init__(self, channels: int, out: int, *, hidden: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = PReluConvolution(channels, hidden, kernel=1)
        self.conv_dw = PReluConvolution(hidden, hidden, kernel=3, stride=stride, groups=hidden)
        self.project = LinearConvolution(hidden, out, kernel=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, channels, H, W) to (N, out, H / stride, W / stride)."""
        return self.project(self.conv_dw(self.conv(x)))


class Residuals(nn.Module):
    """Bottlenecks, each added to its input."""

    def __init__(self, channels: int, *, hidden: int, repeats: int) -> None:
        super().__init__()
        blocks = (Bottleneck(channels, channels, hidden=hidden) for _ in range(repeats))
        self.model = nn.Sequential(*blocks)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to the same shape."""
        for block in self.model:
            x = x + block(x)
        return x
