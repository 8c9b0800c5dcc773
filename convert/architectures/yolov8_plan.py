"""What differs between networks of YOLOv8's kind: widths, depths, classes. See `yolov8`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

STAGES = (64, 128, 256, 512, 1024)  # channels after each halving, before scaling
# depth, width, and the most channels before scaling
SIZES = {
    "n": (0.33, 0.25, 1024),
    "s": (0.33, 0.50, 1024),
    "m": (0.67, 0.75, 768),
    "l": (1.00, 1.00, 512),
    "x": (1.00, 1.25, 512),
}
BINS = 16
# a network is built before its shapes are compared: a file of absurd ones must not fill the memory
MOST_CHANNELS, MOST_BOTTLENECKS, MOST_CLASSES = 2048, 32, 10_000


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that differs between networks of this kind."""

    channels: tuple[int, ...]  # after each of five halvings
    depths: tuple[int, int]  # bottlenecks per block: of layers 4 and 6 the second, else the first
    class_count: int
    box_width: int  # channels inside the head's two branches
    class_width: int
    bins: int = BINS  # of the distribution that a side of a box is the mean of
    # ultralytics 8.4 trained for some months with a pooling block whose entry has no activation
    pool_activation: bool = True
    epsilon: float = 1e-3


def plan(size: str, *, class_count: int) -> Plan:
    """One of SIZES, as ultralytics scales it: channels to the next multiple of 8."""
    depth, width, limit = SIZES[size]
    channels = tuple(math.ceil(min(stage, limit) * width / 8) * 8 for stage in STAGES)
    return Plan(
        channels=channels,
        depths=(round(3 * depth), round(6 * depth)),
        class_count=class_count,
        box_width=max(16, channels[2] // 4, 4 * BINS),
        class_width=max(channels[2], min(class_count, 100)),
    )


def plan_of(
    state: Mapping[str, Any], *, pool_activation: bool = True, epsilon: float = 1e-3
) -> Plan:
    """Read the plan off the shapes of a checkpoint's tensors.

    Args:
        state: tensors by ultralytics' names. What a name lacks is taken from size n, so that a
            strict load afterwards can say which are missing.
        pool_activation: of the plan; shapes do not tell.
        epsilon: likewise.
    """
    usual = plan("n", class_count=80)

    def length(name: str, axis: int, otherwise: int, most: int = MOST_CHANNELS) -> int:
        shape = state[name].shape if name in state else ()
        return min(int(shape[axis]), most) if axis < len(shape) else otherwise

    def depth(layer: int) -> int:
        prefix = f"model.{layer}.m."
        found = {name.split(".")[3] for name in state if name.startswith(prefix)}
        return min(len(found), MOST_BOTTLENECKS)

    stages = zip((0, 1, 3, 5, 7), usual.channels, strict=True)
    return Plan(
        channels=tuple(length(f"model.{i}.conv.weight", 0, width) for i, width in stages),
        depths=(depth(2), depth(4)),
        class_count=length("model.22.cv3.0.2.weight", 0, usual.class_count, MOST_CLASSES),
        box_width=length("model.22.cv2.0.0.conv.weight", 0, usual.box_width),
        class_width=length("model.22.cv3.0.0.conv.weight", 0, usual.class_width),
        bins=length("model.22.dfl.conv.weight", 1, BINS),
        pool_activation=pool_activation,
        epsilon=epsilon,
    )
