"""Layers that YOLOv8 and YOLO11 have in common, with ultralytics' names of their tensors.

Source: keys and arithmetic as ultralytics 8. A side of a box is the mean of a distribution over
bins ("DFL"): Li et al., https://arxiv.org/abs/2006.04388.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import nn

STRIDES = (8, 16, 32)  # px per cell of the three maps
Maps = tuple[torch.Tensor, ...]  # the finest first, each (N, C, H / stride, W / stride)


class Yolo(nn.Module):
    """Image to the boxes and scores of all cells; the runtime does non-maximum suppression.

    Layers have upstream's numbers. Those that are missing are upsampling and concatenation, which
    hold no tensors.
    """

    def __init__(self, layers: Mapping[int, nn.Module], *, last: int) -> None:
        """Take the layers; `last` is the number of the backbone's last one."""
        super().__init__()
        self.last = last
        self.model = nn.ModuleDict({str(index): layer for index, layer in layers.items()})

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map (N, 3, H, W) float32 in [0, 1] to boxes (N, A, 4), x1 y1 x2 y2 in px, and scores.

        Scores are (N, A, K) in [0, 1], classes independent of each other. A counts the cells of
        all three maps, the finest first.
        """
        fine = self._run(image, *range(5))
        middle = self._run(fine, 5, 6)
        coarse = self._run(middle, *range(7, self.last + 1))
        # of the neck: two blocks on the way up, two convolutions and two blocks on the way down
        up1, up2, down1, down2, down3, down4 = (self.last + step for step in (3, 6, 7, 9, 10, 12))
        middle = self._run(torch.cat((_twice(coarse), middle), 1), up1)
        fine = self._run(torch.cat((_twice(middle), fine), 1), up2)
        middle = self._run(torch.cat((self._run(fine, down1), middle), 1), down2)
        coarse = self._run(torch.cat((self._run(middle, down3), coarse), 1), down4)
        return self.model[str(self.last + 13)]((fine, middle, coarse))

    def bias_scores(self, bias: float) -> None:
        """Set the bias of all class scores, before the sigmoid; for untrained weights alone."""
        for name, parameter in self.named_parameters():
            if name.startswith(f"model.{self.last + 13}.cv3.") and name.endswith(".2.bias"):
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
        groups: int = 1,
        activation: bool = True,
    ) -> None:
        super().__init__()
        padding = kernel // 2
        self.conv = nn.Conv2d(channels, out, kernel, stride, padding, groups=groups, bias=False)
        self.bn = nn.BatchNorm2d(out, eps=epsilon, momentum=0.03)
        self.act = nn.SiLU() if activation else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, channels, H, W) to (N, out, H / stride, W / stride)."""
        return self.act(self.bn(self.conv(x)))


class DepthwiseConv(Conv):
    """The same with one 3 x 3 filter per channel."""

    def __init__(self, channels: int, *, epsilon: float, activation: bool = True) -> None:
        super().__init__(
            channels, channels, 3, epsilon=epsilon, groups=channels, activation=activation
        )


class Bottleneck(nn.Module):
    """Two 3 x 3 convolutions with `middle` channels between, added to their input if `residual`."""

    def __init__(self, channels: int, middle: int, *, residual: bool, epsilon: float) -> None:
        super().__init__()
        self.cv1 = Conv(channels, middle, 3, epsilon=epsilon)
        self.cv2 = Conv(middle, channels, 3, epsilon=epsilon)
        self.residual = residual

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, C, H, W) to the same shape."""
        y = self.cv2(self.cv1(x))
        return x + y if self.residual else y


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

    def __init__(
        self,
        branches: Iterable[tuple[nn.Module, nn.Module]],
        *,
        bins: int,
        class_count: int,
        height: int,
        width: int,
    ) -> None:
        """Take the branches of each map: to bins of the four sides, and to scores."""
        super().__init__()
        self.bins, self.class_count = bins, class_count
        boxes, kinds = zip(*branches, strict=True)
        self.cv2, self.cv3 = nn.ModuleList(boxes), nn.ModuleList(kinds)
        self.counts = tuple((height // stride) * (width // stride) for stride in STRIDES)
        self.dfl = nn.ModuleDict({"conv": Expectation(bins, rows=sum(self.counts))})
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
        """Return each map through its branch, as (N, A, channels); all but N are constants.

        Each map is transposed before they are joined: an integer convolution writes its channels
        last anyway, and no other tensor is moved.
        """
        rows = [
            branch(x).permute(0, 2, 3, 1).reshape(-1, count, channels)
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


def plain_branch(channels: int, width: int, out: int, *, epsilon: float) -> nn.Sequential:
    """Build two 3 x 3 convolutions and the last one, 1 x 1, with `out` channels."""
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
