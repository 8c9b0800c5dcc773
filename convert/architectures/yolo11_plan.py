"""The widths, depths and classes of a YOLO11, by size or read from a checkpoint. See `yolo11`."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from convert.architectures.yolov8_plan import (
    BINS,
    MAX_CLASSES,
    STAGES,
    block_count,
    length,
)

# depth, width, and the most channels before scaling
SIZES = {
    "n": (0.5, 0.25, 1024),
    "s": (0.5, 0.50, 1024),
    "m": (0.5, 1.00, 512),
    "l": (1.0, 1.00, 512),
    "x": (1.0, 1.50, 512),
}
BLOCKS = (2, 4, 6, 8, 13, 16, 19, 22)  # layers that are a C3k2
NESTED = frozenset((6, 8, 22))  # those of n and s whose blocks are chains; of m, l and x all are
HEAD_WIDTH = 64  # channels per attention head


@dataclass(frozen=True, slots=True)
class Plan:
    """The facts that distinguish one YOLO11 from another."""

    channels: tuple[int, ...]  # after each of five halvings
    depth: int  # blocks per C3k2 and per C2PSA
    nested: frozenset[int]  # layers whose blocks are chains themselves
    class_count: int
    box_width: int  # channels inside the head's two branches
    class_width: int
    bins: int = BINS  # of the distribution whose mean is a side of a box
    pool_activation: bool = True  # as in YOLOv8's plan
    epsilon: float = 1e-3

    @property
    def attention_channels(self) -> int:
        """Return the channels on which C2PSA attends."""
        return self.channels[-1] // 2

    @property
    def heads(self) -> int:
        """Return the number of attention heads; no tensor's shape tells it."""
        return max(self.attention_channels // HEAD_WIDTH, 1)


def plan(size: str, *, class_count: int) -> Plan:
    """Return the plan of one of SIZES, with channels scaled up to a multiple of 8, as upstream."""
    depth, width, limit = SIZES[size]
    channels = tuple(math.ceil(min(stage, limit) * width / 8) * 8 for stage in STAGES)
    return Plan(
        channels=channels,
        depth=round(2 * depth),
        nested=NESTED if size in "ns" else frozenset(BLOCKS),
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
        depth=block_count(state, 2),
        nested=frozenset(i for i in BLOCKS if f"model.{i}.m.0.cv3.conv.weight" in state),
        class_count=length(
            state, "model.23.cv3.0.2.weight", 0, default.class_count, limit=MAX_CLASSES
        ),
        box_width=length(state, "model.23.cv2.0.0.conv.weight", 0, default.box_width),
        class_width=length(state, "model.23.cv3.0.0.1.conv.weight", 0, default.class_width),
        bins=length(state, "model.23.dfl.conv.weight", 1, BINS),
        pool_activation=pool_activation,
        epsilon=epsilon,
    )
