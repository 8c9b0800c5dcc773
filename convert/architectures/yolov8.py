"""YOLOv8 detection in torch, with the state_dict keys of ultralytics' `DetectionModel`.

Any width, depth, class count and number of bins; n, s, m, l and x are five of them. Boxes are
decoded inside, with constants of the input size, so that an exported graph holds the decoding.

Source: keys and arithmetic as ultralytics 8's `yolov8.yaml`, layers `model.0` to `model.22` in its
order, batch normalisation with epsilon 1e-3. A side of a box is the mean of a distribution over
bins ("DFL"): Li et al., https://arxiv.org/abs/2006.04388.
"""

import torch
from torch import nn

from convert.architectures.yolov8_plan import Plan

STRIDES = (8, 16, 32)  # px per cell of the three maps
Maps = tuple[torch.Tensor, ...]  # the finest first, each (N, C, H / stride, W / stride)
# the last batch normalisation of each residual branch, which `seed_torch` damps
RESIDUAL_NORMS = tuple(f"model.{layer}.m.*.cv2.bn.weight" for layer in (2, 4, 6, 8))


class YoloV8(nn.Module):
    """Image to the boxes and scores of all cells; the runtime does non-maximum suppression."""

    def __init__(self, plan: Plan, *, height: int, width: int) -> None:
        """Build the network for one input size, a multiple of 32 px each way."""
        super().__init__()
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
            22: Detect((c3, c4, c5), plan, height=height, width=width),
        }
        # the numbers between are upsampling and concatenation, which hold no tensors
        self.model = nn.ModuleDict({str(index): layer for index, layer in layers.items()})

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map (N, 3, H, W) float32 in [0, 1] to boxes (N, A, 4), x1 y1 x2 y2 in px, and scores.

        Scores are (N, A, K) in [0, 1], classes independent of each other. A counts the cells of
        all three maps, the finest first.
        """
        fine = self._run(image, 0, 1, 2, 3, 4)
        middle = self._run(fine, 5, 6)
        coarse = self._run(middle, 7, 8, 9)
        middle = self._run(torch.cat((_twice(coarse), middle), 1), 12)
        fine = self._run(torch.cat((_twice(middle), fine), 1), 15)
        middle = self._run(torch.cat((self._run(fine, 16), middle), 1), 18)
        coarse = self._run(torch.cat((self._run(middle, 19), coarse), 1), 21)
        return self.model["22"]((fine, middle, coarse))

    def bias_scores(self, bias: float) -> None:
        """Set the bias of all class scores, before the sigmoid; for untrained weights alone."""
        for name, parameter in self.named_parameters():
            if name.startswith("model.22.cv3.") and name.endswith(".2.bias"):
                nn.init.constant_(parameter, bias)

    def _run(self, x: torch.Tensor, *layers: int) -> torch.Tensor:
        for layer in layers:
            x = self.model[str(layer)](x)
        return x


class Conv(nn.Module):
    """Convolution, batch normalisation, SiLU."""

    def __init__(
        self,
        channels: int,
        out: int,
        kernel: int,
        *,
        epsilon: float,
        stride: int = 1,
        activation: bool = True,
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, out, kernel, stride, padding=kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=epsilon, momentum=0.03)
        self.act = nn.SiLU() if activation else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, channels, H, W) to (N, out, H / stride, W / stride)."""
        return self.act(self.bn(self.conv(x)))


class Bottleneck(nn.Module):
    """Two 3 x 3 convolutions, added to their input if `residual`."""

    def __init__(self, channels: int, *, residual: bool, epsilon: float) -> None:
        super().__init__()
        self.cv1 = Conv(channels, channels, 3, epsilon=epsilon)
        self.cv2 = Conv(channels, channels, 3, epsilon=epsilon)
        self.residual = residual

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to the same shape."""
        y = self.cv2(self.cv1(x))
        return x + y if self.residual else y


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
            Bottleneck(half, residual=residual, epsilon=epsilon) for _ in range(depth)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, channels, H, W) to (N, out, H, W)."""
        parts = list(self.cv1(x).split(self.part, 1))
        for block in self.m:
            parts.append(block(parts[-1]))
        return self.cv2(torch.cat(parts, 1))


class Pooling(nn.Module):
    """Upstream's SPPF: the map, and its maxima over 5, 9 and 13 cells, concatenated."""

    def __init__(self, channels: int, *, activation: bool, epsilon: float) -> None:
        super().__init__()
        half = channels // 2
        self.cv1 = Conv(channels, half, 1, activation=activation, epsilon=epsilon)
        self.cv2 = Conv(4 * half, channels, 1, epsilon=epsilon)
        self.m = nn.MaxPool2d(5, stride=1, padding=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to the same shape."""
        parts = [self.cv1(x)]
        for _ in range(3):
            parts.append(self.m(parts[-1]))
        return self.cv2(torch.cat(parts, 1))


class Detect(nn.Module):
    """Three maps to boxes in input px and scores."""

    def __init__(self, channels: tuple[int, ...], plan: Plan, *, height: int, width: int) -> None:
        super().__init__()
        self.bins, self.class_count = plan.bins, plan.class_count
        box, kind = plan.box_width, plan.class_width
        self.cv2 = nn.ModuleList(_branch(c, box, 4 * plan.bins, plan.epsilon) for c in channels)
        self.cv3 = nn.ModuleList(_branch(c, kind, plan.class_count, plan.epsilon) for c in channels)
        self.counts = tuple((height // stride) * (width // stride) for stride in STRIDES)
        self.dfl = nn.ModuleDict({"conv": Expectation(plan.bins, rows=sum(self.counts))})
        centres, strides = _cells(height, width)
        signs = torch.tensor((-1.0, -1.0, 1.0, 1.0))
        self.register_buffer("centres", centres, persistent=False)
        self.register_buffer("strides", strides, persistent=False)
        self.register_buffer("signs", signs, persistent=False)

    def forward(self, maps: Maps) -> tuple[torch.Tensor, torch.Tensor]:
        """Three maps (N, C, H / stride, W / stride) to (N, A, 4) and (N, A, K)."""
        # distances of the left, top, right and bottom side from the cell's center, in cells
        sides = self.dfl["conv"](self._rows(self.cv2, maps, 4 * self.bins))
        boxes = (self.centres + self.signs * sides) * self.strides
        return boxes, torch.sigmoid(self._rows(self.cv3, maps, self.class_count))

    def _rows(self, branches: nn.ModuleList, maps: Maps, channels: int) -> torch.Tensor:
        """Return each map through its branch, as (N, A, channels); all but N are constants."""
        rows = [
            branch(x).reshape(-1, channels, count).transpose(1, 2)
            for branch, x, count in zip(branches, maps, self.counts, strict=True)
        ]
        return torch.cat(rows, 1)


class Expectation(nn.Module):
    """The mean of the bins' numbers under softmax. Upstream writes it as a 1 x 1 convolution.

    Here it is a product and a sum: quantization takes neither, so the decoding after the last
    convolution stays in float.
    """

    weight: torch.Tensor

    def __init__(self, bins: int, *, rows: int) -> None:
        super().__init__()
        self.shape = (-1, rows, 4, bins)
        numbers = torch.arange(bins, dtype=torch.float32)
        self.register_buffer("weight", numbers.reshape(1, bins, 1, 1))

    def forward(self, sides: torch.Tensor) -> torch.Tensor:
        """Map (N, A, 4 * bins) to (N, A, 4)."""
        spread = sides.reshape(self.shape).softmax(3)
        return (spread * self.weight.flatten()).sum(3)


def _branch(channels: int, width: int, out: int, epsilon: float) -> nn.Sequential:
    return nn.Sequential(
        Conv(channels, width, 3, epsilon=epsilon),
        Conv(width, width, 3, epsilon=epsilon),
        nn.Conv2d(width, out, 1),
    )


def _cells(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the center (x, y, x, y) of each cell in cells, (A, 4), and px per cell, (A, 1)."""
    centres, strides = [], []
    for stride in STRIDES:
        rows, columns = torch.arange(height // stride), torch.arange(width // stride)
        y, x = torch.meshgrid(rows + 0.5, columns + 0.5, indexing="ij")
        centres.append(torch.stack((x, y, x, y), -1).reshape(-1, 4))
        strides.append(torch.full((x.numel(), 1), float(stride)))
    return torch.cat(centres), torch.cat(strides)


def _twice(x: torch.Tensor) -> torch.Tensor:
    return nn.functional.interpolate(x, scale_factor=2.0, mode="nearest")
