"""YOLOv8 face emotion: an owner's detector, of any class count; sizes n to x convert.

The checkpoint is what ultralytics saves (`best.pt`), read without running anything in it, or a
state_dict of the same network. Class names, input size and licence are the file's own. For a file
that does not state them: the input has 640 px, and its owner names the classes with a labels file.

Source: ultralytics 8; its letterbox and the thresholds of its `predict` (score 0.25, IoU 0.7, 300
boxes) with `rect=False`. By default upstream pads an image to a multiple of 32 px only, this recipe
always to the square that the network was trained on: boxes near the threshold may differ.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from convert.authoring import (
    FER2013,
    Boxes,
    ImageInput,
    Letterbox,
    Loaded,
    NmsConfig,
    Recipe,
    Tolerance,
    TorchNetwork,
    load_strictly,
    matching_labels,
    read_ultralytics,
    sample_input,
    seed_torch,
)

if TYPE_CHECKING:
    from convert.architectures.yolov8 import YoloV8

LICENCE = "AGPL-3.0 unless its owner states otherwise"
SIDE = 640  # px
# bias of untrained class scores: keeps about as many boxes as a photo has, instead of all 8,400
SEEDED_BIAS = -4.0


def _load(path: Path) -> Loaded:
    from convert.architectures.yolov8 import YoloV8
    from convert.architectures.yolov8_plan import plan_of

    checkpoint = read_ultralytics(path)
    side = checkpoint.side or SIDE
    plan = plan_of(
        checkpoint.state, pool_activation=checkpoint.pool_activation, epsilon=checkpoint.epsilon
    )
    module = YoloV8(plan, height=side, width=side)
    load_strictly(module, checkpoint.state, path=path)
    labels = matching_labels(checkpoint.labels, plan.class_count, path=path, layer="head")
    return _loaded_model(module, side=side, labels=labels, licence=checkpoint.licence)


def _seed() -> Loaded:
    from convert.architectures.yolov8 import RESIDUAL_NORMS, YoloV8
    from convert.architectures.yolov8_plan import plan

    module = YoloV8(plan("n", class_count=len(FER2013)), height=SIDE, width=SIDE)
    loaded = _loaded_model(module, side=SIDE, labels=FER2013, licence=None)
    seed_torch(module, sample_input(loaded, media="scene"), residual_norms=RESIDUAL_NORMS)
    module.bias_scores(SEEDED_BIAS)
    return loaded


def _loaded_model(
    module: "YoloV8", *, side: int, labels: tuple[str, ...], licence: str | None
) -> Loaded:
    return Loaded(
        network=TorchNetwork(module, input_shape=(3, side, side), outputs=2),
        input=ImageInput(side, side, 3, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0)),
        head=Boxes(),
        preprocess=(Letterbox(height=side, width=side, interpolation="linear"),),
        labels=labels,
        licence=licence,
        suppression=NmsConfig(score_threshold=0.25, iou_threshold=0.7, max_detections=300),
    )


RECIPE = Recipe(
    task="object-detection",
    description="Faces and their emotion in a photo (YOLOv8; the owner's checkpoint)",
    licence=LICENCE,
    load=_load,
    seed=_seed,
    tolerance=Tolerance(at_least={"box_recall": 0.97}),
    media="face",
)
