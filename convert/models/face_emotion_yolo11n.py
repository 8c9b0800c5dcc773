"""YOLO11 face emotion: an owner's detector, of any class count; sizes n to x convert.

What is read, assumed and from where is in `shared/yolo.py`. YOLOv8 has its own recipe. Converted
only when named: no weights are published, and the soft vote asks for it only if its setting does.
"""

from pathlib import Path

from convert.authoring import FER2013, Loaded, Recipe, Tolerance
from convert.models.shared.yolo import LICENCE, Detector


def _detector() -> Detector:
    from convert.architectures.yolo11 import Yolo11
    from convert.architectures.yolo11_plan import plan_of

    return Detector("yolo11", plan_of, Yolo11)


def _load(path: Path) -> Loaded:
    return _detector().load(path)


def _seed() -> Loaded:
    from convert.architectures.yolo11 import residual_norms
    from convert.architectures.yolo11_plan import plan

    return _detector().seed(plan("n", class_count=len(FER2013)), residual_norms=residual_norms)


RECIPE = Recipe(
    task="object-detection",
    description="Faces and their emotion in a photo (YOLO11; the owner's checkpoint)",
    licence=LICENCE,
    load=_load,
    seed=_seed,
    tolerance=Tolerance(at_least={"box_recall": 0.97}),
    media="face",
    default=False,
)
