"""The widths, depths and classes of a YOLOv8, by size or read from a checkpoint. See `yolov8`."""

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
# a network is built before its shapes are compared: absurd ones must not fill the memory
MAX_CHANNELS, MAX_BOTTLENECKS, MAX_CLASSES = 2048, 32, 10_000


@dataclass(frozen=True, slots=True)
class Plan:
    """The facts that distinguish one YOLOv8 from another."""

    channels: tuple[int, ...]  # after each of five halvings
    depths: tuple[int, int]  # bottlenecks per block: of layers 4 and 6 the second number
    class_count: int
    box_width: int  # channels inside the head's two branches
    class_width: int
    bins: int = BINS  # of the distribution whose mean is a side of a box
    # ultralytics 8.4 trained networks whose pooling block begins without activation for some months
    # of 2026
    pool_activation: bool = True
    epsilon: float = 1e-3


def plan(size: str, *, class_count: int) -> Plan:
    """Return the plan of one of SIZES, with channels scaled up to a multiple of 8, as upstream."""
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
    """Read the plan from the shapes of a checkpoint's tensors.

    Args:
        state: tensors by ultralytics' names. A missing tensor counts as that of size n, so that
            load_strictly can name it afterwards.
        pool_activation: of the plan; shapes do not tell it.
        epsilon: of the plan; shapes do not tell it.
    """
    default = plan("n", class_count=80)

    stages = zip((0, 1, 3, 5, 7), default.channels, strict=True)
    return Plan(
        channels=tuple(length(state, f"model.{i}.conv.weight", 0, width) for i, width in stages),
        depths=(block_count(state, 2), block_count(state, 4)),
        class_count=length(
            state, "model.22.cv3.0.2.weight", 0, default.class_count, limit=MAX_CLASSES
        ),
        box_width=length(state, "model.22.cv2.0.0.conv.weight", 0, default.box_width),
        class_width=length(state, "model.22.cv3.0.0.conv.weight", 0, default.class_width),
        bins=length(state, "model.22.dfl.conv.weight", 1, BINS),
        pool_activation=pool_activation,
        epsilon=epsilon,
    )


def length(
    state: Mapping[str, Any], name: str, axis: int, if_missing: int, *, limit: int = MAX_CHANNELS
) -> int:
    """Return the length of one axis of a tensor, at most `limit`."""
    shape = state[name].shape if name in state else ()
    return min(int(shape[axis]), limit) if axis < len(shape) else if_missing


def block_count(state: Mapping[str, Any], layer: int) -> int:
    """Return the number of blocks in the chain of one layer, at most MAX_BOTTLENECKS."""
    prefix = f"model.{layer}.m."
    indices = {name.split(".")[3] for name in state if name.startswith(prefix)}
    return min(len(indices), MAX_BOTTLENECKS)
