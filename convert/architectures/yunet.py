"""YuNet (size n) in torch, with the state_dict keys of the original repository.

Pairs of a 1 x 1 and a depthwise 3 x 3 convolution throughout: a backbone whose maps at strides 8,
16 and 32 are used, a neck that adds the coarser maps to the finer ones, and four heads per stride.

Source: Wu et al., https://doi.org/10.1007/s11633-023-1423-y; key layout of
ShiqiYu/libfacedetection.train, `configs/yunet_n.py` (`backbone.model0.conv1`,
`neck.lateral_convs.0`, `bbox_head.multi_level_cls.0`). Batch normalisation has torch's default
epsilon, 1e-5.
"""

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own convention
from torch import nn

STRIDES = (8, 16, 32)  # px of the image per cell of each map
KEYPOINTS = 5
STEM, WIDE = 16, 64
# heads by the name that upstream's keys have, and values per cell, in the order of the outputs
HEADS = {"cls": 1, "obj": 1, "bbox": 4, "kps": 2 * KEYPOINTS}
# weights that `seed_torch` damps: sigmoids follow the heads, and an exponential the boxes; noise
# would saturate the former and overflow the latter
HEAD_WEIGHTS = ("bbox_head.multi_level_*.conv2.weight", "bbox_head.multi_level_bbox.*.weight")


class YuNet(nn.Module):
    """Image to the outputs of upstream's ONNX files: twelve maps, a row per cell."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.neck = Neck(len(STRIDES))
        self.bbox_head = Heads(len(STRIDES))

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Map (N, 3, H, W) float32 BGR of 0 to 255, H and W multiples of 32, to twelve tensors.

        Returns:
            Class scores, objectness (both in (0, 1)), boxes and keypoints, in this order; of each
            the strides 8, 16 and 32: (N, H / stride * W / stride, 1, 1, 4 or 10).
        """
        maps: tuple[torch.Tensor, ...] = self.bbox_head(self.neck(self.backbone(image)))
        scores = 2 * len(STRIDES)
        return tuple(
            torch.sigmoid(_rows(output)) if index < scores else _rows(output)
            for index, output in enumerate(maps)
        )


class Unit(nn.Module):
    """Upstream's ConvDPUnit: 1 x 1, depthwise 3 x 3, and unless `bare` batch norm and ReLU."""

    def __init__(self, channels: int, out: int, *, bare: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 1)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, groups=out)
        if not bare:
            self.bn = nn.BatchNorm2d(out)
        self.bare = bare

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, channels, H, W) to (N, out, H, W)."""
        x = self.conv2(self.conv1(x))
        return x if self.bare else F.relu(self.bn(x))


class Stem(nn.Module):
    """Upstream's Conv_head: halves the image, then a Unit."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, STEM, 3, stride=2, padding=1)
        self.bn1 = nn.BatchNorm2d(STEM)
        self.conv2 = Unit(STEM, STEM)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, 3, H, W) to (N, 16, H / 2, W / 2)."""
        out: torch.Tensor = self.conv2(F.relu(self.bn1(self.conv1(x))))
        return out


class Stage(nn.Module):
    """Upstream's Conv4layerBlock: two Units; the second widens."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.conv1 = Unit(channels, channels)
        self.conv2 = Unit(channels, out)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (N, channels, H, W) to (N, out, H, W)."""
        out: torch.Tensor = self.conv2(self.conv1(x))
        return out


class Backbone(nn.Module):
    """Six stages, halved after all but the second and the last; returns the last three maps."""

    def __init__(self) -> None:
        super().__init__()
        self.model0 = Stem()
        self.model1 = Stage(STEM, WIDE)
        self.model2 = Stage(WIDE, WIDE)
        self.model3 = Stage(WIDE, WIDE)
        self.model4 = Stage(WIDE, WIDE)
        self.model5 = Stage(WIDE, WIDE)

    def forward(self, image: torch.Tensor) -> list[torch.Tensor]:
        """Map (N, 3, H, W) to maps (N, 64, H / stride, W / stride), finest first."""
        x = self.model2(self.model1(_halved(self.model0(image))))
        maps = []
        for stage in (self.model3, self.model4, self.model5):
            x = stage(_halved(x))
            maps.append(x)
        return maps


class Neck(nn.Module):
    """Upstream's TFPN: from the coarsest map on, doubles each map and adds it to the next finer."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.lateral_convs = nn.ModuleList(Unit(WIDE, WIDE) for _ in range(levels))

    def forward(self, maps: list[torch.Tensor]) -> list[torch.Tensor]:
        """Map feature maps, finest first, to as many of the same shapes."""
        joined = [self.lateral_convs[-1](maps[-1])]
        for lateral, finer in zip(self.lateral_convs[-2::-1], maps[-2::-1], strict=True):
            coarser = F.interpolate(joined[0], scale_factor=2.0, mode="nearest")
            joined.insert(0, lateral(finer + coarser))
        return joined


class Heads(nn.Module):
    """Upstream's YuNet_Head: per stride a Unit that the four heads share, and a bare one each."""

    def __init__(self, levels: int) -> None:
        super().__init__()
        self.multi_level_share_convs = nn.ModuleList(
            nn.Sequential(Unit(WIDE, WIDE)) for _ in range(levels)
        )
        for name, width in HEADS.items():
            units = (Unit(WIDE, width, bare=True) for _ in range(levels))
            setattr(self, f"multi_level_{name}", nn.ModuleList(units))

    def forward(self, maps: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Map feature maps, finest first, to those of HEADS in its order, each finest first."""
        shared = [
            share(level) for share, level in zip(self.multi_level_share_convs, maps, strict=True)
        ]
        return tuple(
            self.get_submodule(f"multi_level_{name}.{index}")(level)
            for name in HEADS
            for index, level in enumerate(shared)
        )


def _halved(x: torch.Tensor) -> torch.Tensor:
    return F.max_pool2d(x, 2)


def _rows(x: torch.Tensor) -> torch.Tensor:
    """Map (N, C, H, W) to (N, H * W, C)."""
    return x.flatten(2).transpose(1, 2)
