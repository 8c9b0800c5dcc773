"""The name of a network of ultralytics, told by the names of its tensors.

Source: the state_dicts of ultralytics 8.4.190, built from its yaml files.
"""

import re
import shlex
from collections.abc import Collection
from pathlib import Path

from convert.checkpoint.ultralytics.layouts import LAYOUTS

# a tensor that this network has, and none of those below it
VERSIONS = (
    ("model.6.m.0.0.attn.qkv.conv.weight", "YOLO12"),
    ("model.4.cv2.0.cv1.conv.weight", "YOLOv9"),
    ("model.3.cv2.0.cv1.conv.weight", "YOLOv9"),
    ("model.10.attn.qkv.conv.weight", "YOLOv10"),
    ("model.22.m.0.0.cv1.conv.weight", "YOLO26"),
    ("model.10.m.0.attn.qkv.conv.weight", "YOLO11"),
    ("model.9.m.0.attn.qkv.conv.weight", "YOLO11 or YOLO26"),  # which classify alike
    ("model.24.m.0.weight", "YOLOv5"),
    ("model.24.cv2.0.0.conv.weight", "YOLOv5u"),
    ("model.24.proto.cv1.conv.weight", "YOLOv5"),
    ("model.21.m.0.cv1.conv.weight", "YOLOv8"),
    ("model.9.linear.weight", "YOLOv8"),
)
TASKS = (
    (re.compile(r"model\.\d+\.linear\.weight"), "classification"),
    (re.compile(r"model\.\d+\.proto\..*"), "segmentation"),
    (re.compile(r"model\.\d+\.cv4\.\d+\.(?:bias|logit_scale)"), "with text prompts"),
    (re.compile(r"model\.\d+\.(?:one2one_)?cv4\.\d+\..*"), "pose or oriented boxes"),
)
TASKS_BY_CLASS = {
    "ClassificationModel": "classification",
    "SegmentationModel": "segmentation",
    "PoseModel": "pose",
    "OBBModel": "oriented boxes",
    "WorldModel": "with text prompts",
}
ONE_TO_ONE = ("YOLOv10", "YOLO26")  # have such heads always; others by a setting
OWN_RECIPE = "a recipe of your own for another network (convert/README.md)"


def network_name(keys: Collection[str], *, class_name: str = "") -> str | None:
    """Return "YOLO26 detection" and the like; None: no tensor tells the network.

    Args:
        keys: names of tensors, or of the weights of a graph's layers.
        class_name: of the whole network, if the file has it: it tells the task.
    """
    version = next((name for key, name in VERSIONS if key in keys), None)
    if version is None:
        return None
    task = TASKS_BY_CLASS.get(class_name) or next(
        (task for pattern, task in TASKS if any(map(pattern.fullmatch, keys))), "detection"
    )
    has_more = version not in ONE_TO_ONE and any(".one2one_" in key for key in keys)
    return f"{version} {task}{' with one-to-one heads' if has_more else ''}"


def way_out(name: str | None, *, path: Path) -> str:
    """Return the sentence that ends a refusal: what converts a network of this name."""
    for layout in LAYOUTS.values():
        if layout.name == name:
            command = f"python -m convert run {layout.recipe} --checkpoint {shlex.quote(str(path))}"
            return f"`{command}` converts it"
    models = (f"{layout.name} ({layout.recipe})" for layout in LAYOUTS.values())
    return f"Models read {' and '.join(models)}; write {OWN_RECIPE}"
