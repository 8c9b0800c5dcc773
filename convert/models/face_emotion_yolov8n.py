"""YOLOv8 face emotion: an owner's detector, of any class count; sizes n to x convert.

What is read, assumed and from where is in `shared/yolo.py`. YOLO11 has its own recipe.
"""

from pathlib import Path

from convert.authoring import FER2013, Loaded, Recipe, Tolerance
from convert.models.shared.yolo import LICENCE, Detector


def _detector() -> Detector:
    from convert.architectures.yolov8 import YoloV8
    from convert.architectures.yolov8_plan import plan_of

    return Detector("yolov8", plan_of, YoloV8)


def _load(path: Path) -> Loaded:
    return _detector().load(path)


def _seed() -> Loaded:
    from convert.architectures.yolov8 import RESIDUAL_NORMS
    from convert.architectures.yolov8_plan import plan

    return _detector().seed(
        plan("n", class_count=len(FER2013)), residual_norms=lambda _: RESIDUAL_NORMS
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
