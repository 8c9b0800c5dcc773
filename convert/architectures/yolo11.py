"""YOLO11 detection in torch, with the state_dict keys of ultralytics' `DetectionModel`.

Any width, depth and class count; n, s, m, l and x are five of them. What it has in common with
YOLOv8, the decoding of boxes above all, is in `yolo_layers`.

Source: keys and arithmetic as ultralytics 8's `yolo11.yaml`, layers `model.0` to `model.23` in its
order. Each position of the coarsest map attends to all others, after Vaswani et al.,
https://arxiv.org/abs/1706.03762; a 3 x 3 depthwise convolution of the values tells positions apart.
"""

import torch
from torch import nn

from convert.architectures.yolo11_plan import Plan
from convert.architectures.yolo_layers import (
    STRIDES,
    Bottleneck,
    Conv,
    DepthwiseConv,
    Detect,
    Pooling,
    Yolo,
    plain_branch,
)


class Yolo11(Yolo):
    """YOLO11 of one plan and one input size."""

    def __init__(self, plan: Plan, *, height: int, width: int) -> None:
        """Build the network for one input size, a multiple of 32 px each way."""
        c1, c2, c3, c4, c5 = plan.channels
        eps = plan.epsilon
        cells = (height // STRIDES[-1], width // STRIDES[-1])

        def block(index: int, channels: int, out: int, *, part: int) -> C3k2:
            nested = index in plan.nested
            return C3k2(channels, out, plan.depth, part=part, nested=nested, epsilon=eps)

        layers: dict[int, nn.Module] = {
            0: Conv(3, c1, 3, stride=2, epsilon=eps),
            1: Conv(c1, c2, 3, stride=2, epsilon=eps),
            2: block(2, c2, c3, part=c3 // 4),
            3: Conv(c3, c3, 3, stride=2, epsilon=eps),
            4: block(4, c3, c4, part=c4 // 4),
            5: Conv(c4, c4, 3, stride=2, epsilon=eps),
            6: block(6, c4, c4, part=c4 // 2),
            7: Conv(c4, c5, 3, stride=2, epsilon=eps),
            8: block(8, c5, c5, part=c5 // 2),
            9: Pooling(c5, activation=plan.pool_activation, epsilon=eps),
            10: C2psa(c5, plan, cells=cells),
            13: block(13, c5 + c4, c4, part=c4 // 2),
            16: block(16, c4 + c4, c3, part=c3 // 2),
            17: Conv(c3, c3, 3, stride=2, epsilon=eps),
            19: block(19, c3 + c4, c4, part=c4 // 2),
            20: Conv(c4, c4, 3, stride=2, epsilon=eps),
            22: block(22, c4 + c5, c5, part=c5 // 2),
            23: head((c3, c4, c5), plan, height=height, width=width),
        }
        super().__init__(layers, last=10)


class C3k2(nn.Module):
    """A chain of blocks on `part` channels; all outputs of the chain are concatenated.

    A block is a bottleneck, or itself a chain of two (`nested`).
    """

    def __init__(
        self, channels: int, out: int, depth: int, *, part: int, nested: bool, epsilon: float
    ) -> None:
        super().__init__()
        self.part = part
        self.cv1 = Conv(channels, 2 * part, 1, epsilon=epsilon)
        self.cv2 = Conv((2 + depth) * part, out, 1, epsilon=epsilon)
        self.m = nn.ModuleList(
            C3k(part, epsilon=epsilon)
            if nested
            else Bottleneck(part, part // 2, residual=True, epsilon=epsilon)
            for _ in range(depth)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, channels, H, W) to (N, out, H, W)."""
        parts = list(self.cv1(x).split(self.part, 1))
        for block in self.m:
            parts.append(block(parts[-1]))
        return self.cv2(torch.cat(parts, 1))


class C3k(nn.Module):
    """Two bottlenecks in a row on half of the channels, beside a shortcut of the other half."""

    def __init__(self, channels: int, *, epsilon: float) -> None:
        super().__init__()
        half = channels // 2
        self.cv1 = Conv(channels, half, 1, epsilon=epsilon)
        self.cv2 = Conv(channels, half, 1, epsilon=epsilon)
        self.cv3 = Conv(2 * half, channels, 1, epsilon=epsilon)
        self.m = nn.Sequential(
            *(Bottleneck(half, half, residual=True, epsilon=epsilon) for _ in range(2))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to the same shape."""
        return self.cv3(torch.cat((self.m(self.cv1(x)), self.cv2(x)), 1))


class C2psa(nn.Module):
    """Attention between all positions, on half of the channels."""

    def __init__(self, channels: int, plan: Plan, *, cells: tuple[int, int]) -> None:
        super().__init__()
        self.part = plan.attention_channels
        self.cv1 = Conv(channels, 2 * self.part, 1, epsilon=plan.epsilon)
        self.cv2 = Conv(2 * self.part, channels, 1, epsilon=plan.epsilon)
        self.m = nn.Sequential(*(AttentionBlock(plan, cells=cells) for _ in range(plan.depth)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to the same shape."""
        left, right = self.cv1(x).split(self.part, 1)
        return self.cv2(torch.cat((left, self.m(right)), 1))


class AttentionBlock(nn.Module):
    """Attention, then two 1 x 1 convolutions, each added to its input."""

    def __init__(self, plan: Plan, *, cells: tuple[int, int]) -> None:
        super().__init__()
        width, eps = plan.attention_channels, plan.epsilon
        self.attn = Attention(plan, cells=cells)
        self.ffn = nn.Sequential(
            Conv(width, 2 * width, 1, epsilon=eps),
            Conv(2 * width, width, 1, epsilon=eps, activation=False),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to the same shape."""
        x = x + self.attn(x)
        return x + self.ffn(x)


class Attention(nn.Module):
    """Scaled dot-product attention between the positions of a map, in several heads."""

    def __init__(self, plan: Plan, *, cells: tuple[int, int]) -> None:
        super().__init__()
        channels, heads, eps = plan.attention_channels, plan.heads, plan.epsilon
        self.width = channels // heads  # of a head's values
        self.key = self.width // 2  # of its queries and keys
        # shapes are constants, so that an exported graph computes none
        self.by_head = (-1, heads, 2 * self.key + self.width, cells[0] * cells[1])
        self.as_map = (-1, channels, *cells)
        projected = channels + 2 * self.key * heads
        self.qkv = Conv(channels, projected, 1, epsilon=eps, activation=False)
        self.proj = Conv(channels, channels, 1, epsilon=eps, activation=False)
        self.pe = DepthwiseConv(channels, epsilon=eps, activation=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to the same shape."""
        parts = self.qkv(x).reshape(self.by_head)
        query, key, value = parts.split((self.key, self.key, self.width), 2)
        # (N, heads, cell that asks, cell that answers)
        weights = (query.transpose(2, 3) @ key * self.key**-0.5).softmax(3)
        mixed = value @ weights.transpose(2, 3)
        return self.proj(mixed.reshape(self.as_map) + self.pe(value.reshape(self.as_map)))


def residual_norms(module: nn.Module) -> tuple[str, ...]:
    """Return the names of the weights that end a residual branch, which `seed_torch` damps."""
    ends: dict[type[nn.Module], tuple[str, ...]] = {
        Bottleneck: ("cv2",),
        AttentionBlock: ("attn.proj", "ffn.1"),
    }
    return tuple(
        f"{name}.{end}.bn.weight"
        for name, part in module.named_modules()
        for end in ends.get(type(part), ())
    )


def head(channels: tuple[int, ...], plan: Plan, *, height: int, width: int) -> Detect:
    """Build the head for three maps with these channels, of an image of this size in px."""
    return Detect(
        (
            (
                plain_branch(c, plan.box_width, 4 * plan.bins, epsilon=plan.epsilon),
                _class_branch(c, plan.class_width, plan.class_count, epsilon=plan.epsilon),
            )
            for c in channels
        ),
        bins=plan.bins,
        class_count=plan.class_count,
        height=height,
        width=width,
    )


def _class_branch(channels: int, width: int, out: int, *, epsilon: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Sequential(
            DepthwiseConv(channels, epsilon=epsilon), Conv(channels, width, 1, epsilon=epsilon)
        ),
        nn.Sequential(
            DepthwiseConv(width, epsilon=epsilon), Conv(width, width, 1, epsilon=epsilon)
        ),
        nn.Conv2d(width, out, 1),
    )
