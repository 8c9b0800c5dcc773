"""YOLOv8 face emotion: an owner's detector, of any class count; sizes n to x convert.

The file is what ultralytics saves (`best.pt`), read without running anything in it, or a state_dict
of the same network. Class names, input size and licence are the file's own. What a file does not
say: 640 px, and classes are named with a labels file.

Source: ultralytics 8; its letterbox and the thresholds of its `predict` (score 0.25, IoU 0.7, 300
boxes) with `rect=False`. Without it upstream pads a file to a multiple of 32 px only, this recipe
always to the square that it is trained on: boxes near the threshold may differ.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from convert.checkpoint import load_strictly
from convert.checkpoint.labels import FER2013
from convert.errors import CheckpointError
from convert.export.frameworks.torch_module import TorchNetwork
from convert.export.numerics import Boxes, ImageInput
from convert.recipe import Loaded, Recipe, Tolerance
from convert.weights.seeded import sample_input, seed_torch
from runtime.artifact.manifest import Letterbox, NmsConfig

if TYPE_CHECKING:
    from convert.architectures.yolov8 import YoloV8

LICENCE = "AGPL-3.0 unless its owner states otherwise"
SIDE = 640  # px
# of untrained class scores: about as many boxes as a photo has, instead of all 8,400
SEEDED_BIAS = -4.0


def _load(path: Path) -> Loaded:
    from convert.architectures.yolov8 import YoloV8
    from convert.architectures.yolov8_plan import plan_of
    from convert.checkpoint.ultralytics import read_trained

    trained = read_trained(path)
    side = trained.side or SIDE
    plan = plan_of(trained.state, pool_activation=trained.pool_activation, epsilon=trained.epsilon)
    module = YoloV8(plan, height=side, width=side)
    load_strictly(module, trained.state, path=path)
    if trained.labels and len(trained.labels) != plan.class_count:
        raise CheckpointError(
            f"{path}: names {len(trained.labels)} classes ({', '.join(trained.labels)[:200]}); "
            f"its head has {plan.class_count}"
        )
    return _around(module, side=side, labels=trained.labels, licence=trained.licence)


def _seed() -> Loaded:
    from convert.architectures.yolov8 import RESIDUAL_NORMS, YoloV8
    from convert.architectures.yolov8_plan import plan

    module = YoloV8(plan("n", class_count=len(FER2013)), height=SIDE, width=SIDE)
    loaded = _around(module, side=SIDE, labels=FER2013, licence=None)
    seed_torch(module, sample_input(loaded, media="scene"), residual_norms=RESIDUAL_NORMS)
    module.bias_scores(SEEDED_BIAS)
    return loaded


def _around(module: "YoloV8", *, side: int, labels: tuple[str, ...], licence: str | None) -> Loaded:
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
