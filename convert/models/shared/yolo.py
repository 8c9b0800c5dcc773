"""YOLOv8 and YOLO11 detectors: how a checkpoint of ultralytics loads, and untrained weights.

The checkpoint is what ultralytics saves (`best.pt`), read without running anything in it, or a
state_dict of the same network. Class names, input size and licence are the file's own. For a file
that does not state them: the input has 640 px, and its owner names the classes with a labels file.

Source: ultralytics 8; its letterbox and the thresholds of its `predict` (score 0.25, IoU 0.7, 300
boxes) with `rect=False`. By default upstream pads an image to a multiple of 32 px only, these
recipes always to the square that the network was trained on: boxes near the threshold may differ.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from convert.authoring import (
    FER2013,
    Boxes,
    ImageInput,
    Letterbox,
    Loaded,
    NmsConfig,
    TorchNetwork,
    load_strictly,
    matching_labels,
    read_ultralytics,
    sample_input,
    seed_torch,
)

if TYPE_CHECKING:
    from convert.architectures.yolo_layers import Yolo

LICENCE = "AGPL-3.0 unless its owner states otherwise"
SIDE = 640  # px
# bias of untrained class scores: keeps about as many boxes as a photo has, instead of all 8,400
SEEDED_BIAS = -4.0


@dataclass(frozen=True, slots=True)
class Detector:
    """One of the two networks, and how it is built."""

    network: Literal["yolov8", "yolo11"]
    plan_of: Callable[..., Any]  # tensors by name to the network's Plan
    build: Callable[..., "Yolo"]  # plan and input size in px to the network

    def load(self, path: Path) -> Loaded:
        """Read a checkpoint: for `Recipe.load`.

        Raises:
            CheckpointError: it is damaged or holds another network, which the message names.
        """
        file = read_ultralytics(path, self.network)
        side = file.side or SIDE
        plan = self.plan_of(file.state, pool_activation=file.pool_activation, epsilon=file.epsilon)
        module = self.build(plan, height=side, width=side)
        load_strictly(module, file.state, path=path)
        labels = matching_labels(file.labels, plan.class_count, path=path, layer="head")
        return _loaded_model(
            module, side, labels, licence=file.licence, assumptions=file.assumptions
        )

    def seed(self, plan: Any, *, residual_norms: Callable[["Yolo"], tuple[str, ...]]) -> Loaded:
        """Make untrained weights: for `Recipe.seed`."""
        module = self.build(plan, height=SIDE, width=SIDE)
        loaded = _loaded_model(module, SIDE, FER2013, licence=None)
        samples = sample_input(loaded, media="scene")
        seed_torch(module, samples, residual_norms=residual_norms(module))
        module.bias_scores(SEEDED_BIAS)
        return loaded


def _loaded_model(module: "Yolo", side: int, labels: tuple[str, ...], **facts: Any) -> Loaded:
    return Loaded(
        network=TorchNetwork(module, input_shape=(3, side, side), outputs=2),
        input=ImageInput(side, side, 3, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
        head=Boxes(),
        preprocess=(Letterbox(height=side, width=side, interpolation="linear"),),
        labels=labels,
        suppression=NmsConfig(score_threshold=0.25, iou_threshold=0.7, max_detections=300),
        **facts,
    )
