"""YOLOv8 detection in torch, with the state_dict keys of ultralytics' `DetectionModel`.

Any width, depth, class count and number of bins; n, s, m, l and x are five of them. Boxes are
decoded inside, with constants of the input size, so that an exported graph holds the decoding.

Source: keys and arithmetic as ultralytics 8's `yolov8.yaml`, layers `model.0` to `model.22` in its
order, batch normalisation with epsilon 1e-3.
"""

import torch
from torch import nn

from convert.architectures.yolo_layers import Bottleneck, Conv, Detect, Pooling, Yolo, plain_branch
from convert.architectures.yolov8_plan import Plan

# the last batch normalisation of each residual branch, which `seed_torch` damps
RESIDUAL_NORMS = tuple(f"model.{layer}.m.*.cv2.bn.weight" for layer in (2, 4, 6, 8))


class YoloV8(Yolo):
    """YOLOv8 of one plan and one input size."""

    def __init__(self, plan: Plan, *, height: int, width: int) -> None:
        """Build the network for one input size, a multiple of 32 px each way."""
        c1, c2, c3, c4, c5 = plan.channels
        outer, inner = plan.depths
        eps = plan.epsilon
        layers: dict[int, nn.Module] = {
            0: Conv(3, c1, 3, stride=2, epsilon=eps),
            1: Conv(c1, c2, 3, stride=2, epsilon=eps),
            2: C2f(c2, c2, outer, residual=True, epsilon=eps),
            3: Conv(c2, c3, 3, stride=2, epsilon=eps),
            4: C2f(c3, c3, inner, residual=True, epsilon=eps),
            5: Conv(c3, c4, 3, stride=2, epsilon=eps),
            6: C2f(c4, c4, inner, residual=True, epsilon=eps),
            7: Conv(c4, c5, 3, stride=2, epsilon=eps),
            8: C2f(c5, c5, outer, residual=True, epsilon=eps),
            9: Pooling(c5, activation=plan.pool_activation, epsilon=eps),
            12: C2f(c5 + c4, c4, outer, epsilon=eps),
            15: C2f(c4 + c3, c3, outer, epsilon=eps),
            16: Conv(c3, c3, 3, stride=2, epsilon=eps),
            18: C2f(c3 + c4, c4, outer, epsilon=eps),
            19: Conv(c4, c4, 3, stride=2, epsilon=eps),
            21: C2f(c4 + c5, c5, outer, epsilon=eps),
            22: head((c3, c4, c5), plan, height=height, width=width),
        }
        super().__init__(layers, last=9)


class C2f(nn.Module):
    """A chain of bottlenecks on half of the channels; all outputs of the chain are concatenated."""

    def __init__(
        self, channels: int, out: int, depth: int, *, epsilon: float, residual: bool = False
    ) -> None:
        super().__init__()
        half = out // 2
        self.part = half
        self.cv1 = Conv(channels, 2 * half, 1, epsilon=epsilon)
        self.cv2 = Conv((2 + depth) * half, out, 1, epsilon=epsilon)
        self.m = nn.ModuleList(
            Bottleneck(half, half, residual=residual, epsilon=epsilon) for _ in range(depth)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, channels, H, W) to (N, out, H, W)."""
        parts = list(self.cv1(x).split(self.part, 1))
        for block in self.m:
            parts.append(block(parts[-1]))
        return self.cv2(torch.cat(parts, 1))


def head(channels: tuple[int, ...], plan: Plan, *, height: int, width: int) -> Detect:
    """Build the head for three maps with these channels, of an image of this size in px."""
    eps = plan.epsilon
    return Detect(
        (
            (
                plain_branch(c, plan.box_width, 4 * plan.bins, epsilon=eps),
                plain_branch(c, plan.class_width, plan.class_count, epsilon=eps),
            )
            for c in channels
        ),
        bins=plan.bins,
        class_count=plan.class_count,
        height=height,
        width=width,
    )
