"""U2-Net in torch, with the state_dict keys of the original repository.

A U-net whose every stage is itself a small U-net (RSU block). Two sizes: U2NETP (4.7 MB) and U2NET
(176 MB) differ in channels only.

Source: Qin et al., https://arxiv.org/abs/2005.09007; key layout of xuebinqin/U-2-Net
`model/u2net.py` (`stage1.rebnconvin.conv_s1`, `side1`, `outconv`).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import nn


@dataclass(frozen=True, slots=True)
class StageChannels:
    """Channels of one RSU block."""

    depth: int  # levels of the inner U; 0: the dilated block "4F", which does not shrink
    into: int
    middle: int
    out: int


Encoder = tuple[StageChannels, ...]
_S = StageChannels

U2NETP_ENCODER: Encoder = (
    _S(7, 3, 16, 64), _S(6, 64, 16, 64), _S(5, 64, 16, 64), _S(4, 64, 16, 64),
    _S(0, 64, 16, 64), _S(0, 64, 16, 64),
)  # fmt: skip
U2NETP_DECODER: Encoder = (
    _S(0, 128, 16, 64), _S(4, 128, 16, 64), _S(5, 128, 16, 64), _S(6, 128, 16, 64),
    _S(7, 128, 16, 64),
)  # fmt: skip
U2NET_ENCODER: Encoder = (
    _S(7, 3, 32, 64), _S(6, 64, 32, 128), _S(5, 128, 64, 256), _S(4, 256, 128, 512),
    _S(0, 512, 256, 512), _S(0, 512, 256, 512),
)  # fmt: skip
U2NET_DECODER: Encoder = (
    _S(0, 1024, 256, 512), _S(4, 1024, 128, 256), _S(5, 512, 64, 128), _S(6, 256, 32, 64),
    _S(7, 128, 16, 64),
)  # fmt: skip


class U2Net(nn.Module):
    """Image to a saliency map.

    `forward` returns the fused map alone. Upstream returns the six side maps that feed it as well.
    """

    def __init__(self, encoder: Encoder, decoder: Encoder) -> None:
        super().__init__()
        for index, channels in enumerate(encoder, start=1):
            setattr(self, f"stage{index}", _block(channels))
        for index, channels in zip(range(5, 0, -1), decoder, strict=True):
            setattr(self, f"stage{index}d", _block(channels))
        # finest first: side1 reads stage1d ... side5 reads stage5d, side6 reads stage6
        sides = [channels.out for channels in reversed(decoder)] + [encoder[-1].out]
        for index, width in enumerate(sides, start=1):
            setattr(self, f"side{index}", nn.Conv2d(width, 1, 3, padding=1))
        self.outconv = nn.Conv2d(6, 1, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map (N, 3, H, W) normalised float32 to (N, 1, H, W) in (0, 1)."""
        encoded = [self.get_submodule("stage1")(image)]
        for index in range(2, 7):
            encoded.append(self.get_submodule(f"stage{index}")(_halve(encoded[-1])))
        x = encoded.pop()
        sides = [self.get_submodule("side6")(x)]
        for index in range(5, 0, -1):
            skip = encoded[index - 1]
            x = self.get_submodule(f"stage{index}d")(torch.cat((_like(x, skip), skip), 1))
            sides.insert(0, self.get_submodule(f"side{index}")(x))
        maps = [sides[0], *(_like(side, sides[0]) for side in sides[1:])]
        return torch.sigmoid(self.outconv(torch.cat(maps, 1)))


class ConvNormRelu(nn.Module):
    """Upstream's REBNCONV: 3 x 3 convolution, batch normalisation, ReLU."""

    def __init__(self, channels: int, out: int, *, dilation: int = 1) -> None:
        super().__init__()
        self.conv_s1 = nn.Conv2d(channels, out, 3, padding=dilation, dilation=dilation)
        self.bn_s1 = nn.BatchNorm2d(out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, channels, H, W) to (N, out, H, W)."""
        return F.relu(self.bn_s1(self.conv_s1(x)))


class ResidualU(nn.Module):
    """Upstream's RSU7 to RSU4: `depth` levels, halved between them down to the bottom two."""

    def __init__(self, channels: StageChannels) -> None:
        super().__init__()
        depth, middle = channels.depth, channels.middle
        self.depth = depth
        self.rebnconvin = ConvNormRelu(channels.into, channels.out)
        self.rebnconv1 = ConvNormRelu(channels.out, middle)
        for level in range(2, depth):
            setattr(self, f"rebnconv{level}", ConvNormRelu(middle, middle))
        setattr(self, f"rebnconv{depth}", ConvNormRelu(middle, middle, dilation=2))
        for level in range(depth - 1, 1, -1):
            setattr(self, f"rebnconv{level}d", ConvNormRelu(middle * 2, middle))
        self.rebnconv1d = ConvNormRelu(middle * 2, channels.out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, into, H, W) to (N, out, H, W)."""
        entry = self.rebnconvin(x)
        levels = [self.rebnconv1(entry)]
        for level in range(2, self.depth):
            levels.append(self.get_submodule(f"rebnconv{level}")(_halve(levels[-1])))
        y = self.get_submodule(f"rebnconv{self.depth}")(levels[-1])
        for level in range(self.depth - 1, 0, -1):
            skip = levels[level - 1]
            y = self.get_submodule(f"rebnconv{level}d")(torch.cat((_like(y, skip), skip), 1))
        return y + entry


class DilatedResidualU(nn.Module):
    """Upstream's RSU4F: dilated instead of shrunk, for maps too small to halve again."""

    def __init__(self, channels: StageChannels) -> None:
        super().__init__()
        middle = channels.middle
        self.rebnconvin = ConvNormRelu(channels.into, channels.out)
        self.rebnconv1 = ConvNormRelu(channels.out, middle)
        self.rebnconv2 = ConvNormRelu(middle, middle, dilation=2)
        self.rebnconv3 = ConvNormRelu(middle, middle, dilation=4)
        self.rebnconv4 = ConvNormRelu(middle, middle, dilation=8)
        self.rebnconv3d = ConvNormRelu(middle * 2, middle, dilation=4)
        self.rebnconv2d = ConvNormRelu(middle * 2, middle, dilation=2)
        self.rebnconv1d = ConvNormRelu(middle * 2, channels.out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, into, H, W) to (N, out, H, W)."""
        entry = self.rebnconvin(x)
        first = self.rebnconv1(entry)
        second = self.rebnconv2(first)
        third = self.rebnconv3(second)
        y = self.rebnconv3d(torch.cat((self.rebnconv4(third), third), 1))
        y = self.rebnconv2d(torch.cat((y, second), 1))
        return self.rebnconv1d(torch.cat((y, first), 1)) + entry


def u2netp() -> U2Net:
    """Build the small net: 1.1 M parameters."""
    return U2Net(U2NETP_ENCODER, U2NETP_DECODER)


def u2net() -> U2Net:
    """Build the full net: 44 M parameters."""
    return U2Net(U2NET_ENCODER, U2NET_DECODER)


def _block(channels: StageChannels) -> nn.Module:
    return ResidualU(channels) if channels.depth else DilatedResidualU(channels)


def _halve(x: torch.Tensor) -> torch.Tensor:
    return F.max_pool2d(x, 2, stride=2, ceil_mode=True)


def _like(x: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x, size=other.shape[2:], mode="bilinear", align_corners=False)
