"""EfficientNet B0 to B4 in torch, with the state_dict keys of torchvision's `efficientnet_b*`.

`convert.architectures.efficientnet_keys` renames timm's. The weights are the same there, but not
always the arithmetic: torchvision and timm's `efficientnet_b*` pad symmetrically, timm's
`tf_efficientnet_b*` computes as TensorFlow does (padding "same", another epsilon) under the very
same names. See `Arithmetic`.

Source: Tan and Le, https://arxiv.org/abs/1905.11946, table 1; layout, epsilon and padding as
torchvision 0.29 and timm 1.0, compared with the outputs of both.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import nn

from convert.architectures.efficientnet_keys import B3, STAGES, STEM_WIDTH, Size

# the last batch normalisation of each residual branch, which `seed_torch` damps
RESIDUAL_NORMS = ("features.1.*.block.2.1.weight", "features.[2-7].*.block.3.1.weight")


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """The two facts that the keys of a state_dict do not tell."""

    epsilon: float  # of batch normalisation
    same_padding: bool  # TensorFlow's: odd pixels of padding go right and below


PLAIN = Arithmetic(epsilon=1e-5, same_padding=False)
TENSORFLOW = Arithmetic(epsilon=1e-3, same_padding=True)


class EfficientNet(nn.Module):
    """Image to logits; `embed` stops before the classifier."""

    def __init__(
        self, size: Size = B3, *, class_count: int = 1000, arithmetic: Arithmetic = PLAIN
    ) -> None:
        super().__init__()
        channels = size.channels(STEM_WIDTH)
        layers = [_conv_norm_act(3, channels, kernel=3, stride=2, arithmetic=arithmetic)]
        for expansion, kernel, first_stride, base, repeats in STAGES:
            out = size.channels(base)
            stage: list[nn.Module] = []
            for index in range(size.repeats(repeats)):
                shape = BlockShape(channels, out, expansion, kernel, 1 if index else first_stride)
                stage.append(InvertedResidual(shape, arithmetic))
                channels = out
            layers.append(nn.Sequential(*stage))
        layers.append(_conv_norm_act(channels, size.head_channels, kernel=1, arithmetic=arithmetic))
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(nn.Dropout(0.3), nn.Linear(size.head_channels, class_count))

    def embed(self, image: torch.Tensor) -> torch.Tensor:
        """Map (N, 3, H, W) normalised float32 to (N, D) pooled features."""
        return self.avgpool(self.features(image)).flatten(1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Map (N, 3, H, W) normalised float32 to (N, class_count) logits."""
        return self.classifier(self.embed(image))


@dataclass(frozen=True, slots=True)
class BlockShape:
    """The sizes of one block."""

    channels: int
    out: int
    expansion: int
    kernel: int
    stride: int


class InvertedResidual(nn.Module):
    """Expand, filter per channel, weigh channels, project; added to its input where shapes allow.

    The first stage expands by 1, and its blocks begin with the filter.
    """

    def __init__(self, shape: BlockShape, arithmetic: Arithmetic) -> None:
        super().__init__()
        hidden = shape.channels * shape.expansion
        layers: list[nn.Module] = []
        if shape.expansion > 1:
            layers.append(_conv_norm_act(shape.channels, hidden, kernel=1, arithmetic=arithmetic))
        depthwise = _conv_norm_act(
            hidden,
            hidden,
            kernel=shape.kernel,
            stride=shape.stride,
            groups=hidden,
            arithmetic=arithmetic,
        )
        # a quarter of what enters the block, not of the expanded channels
        squeeze = SqueezeExcitation(hidden, shape.channels // 4)
        project = _conv_norm_act(hidden, shape.out, kernel=1, act=False, arithmetic=arithmetic)
        self.block = nn.Sequential(*layers, depthwise, squeeze, project)
        self.residual = shape.stride == 1 and shape.channels == shape.out

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to (N, out, H / stride, W / stride)."""
        return x + self.block(x) if self.residual else self.block(x)


class SqueezeExcitation(nn.Module):
    """A weight in (0, 1) for each channel, computed from the means of all channels."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(channels, squeezed, 1)
        self.fc2 = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to the same shape."""
        return x * torch.sigmoid(self.fc2(F.silu(self.fc1(self.avgpool(x)))))


class SameConv2d(nn.Conv2d):
    """Convolution padded as TensorFlow's "same": ceil(side / stride) outputs, odd pixels last."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to (N, out, ceil(H / stride), ceil(W / stride))."""
        top, bottom = self._padding(x.shape[2], axis=0)
        left, right = self._padding(x.shape[3], axis=1)
        if (top, left) == (bottom, right):  # the convolution pads by itself: no Pad node
            return F.conv2d(x, self.weight, self.bias, self.stride, (top, left), 1, self.groups)
        padded = F.pad(x, (left, right, top, bottom))
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, 1, self.groups)

    def _padding(self, side: int, *, axis: int) -> tuple[int, int]:
        kernel, stride = self.kernel_size[axis], self.stride[axis]
        # int(): while tracing, a side is a tensor; the graph's size is fixed
        total = max(0, (math.ceil(int(side) / stride) - 1) * stride + kernel - int(side))
        return total // 2, total - total // 2


def _conv_norm_act(
    channels: int,
    out: int,
    *,
    kernel: int,
    arithmetic: Arithmetic,
    stride: int = 1,
    groups: int = 1,
    act: bool = True,
) -> nn.Sequential:
    convolution = SameConv2d if arithmetic.same_padding else nn.Conv2d
    layers = [
        convolution(channels, out, kernel, stride, padding=kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out, eps=arithmetic.epsilon),
    ]
    return nn.Sequential(*layers, nn.SiLU()) if act else nn.Sequential(*layers)
