"""Names of ultralytics' networks, by tensors that its 8.4.190 gives them."""

from pathlib import Path

import pytest

from convert.checkpoint.ultralytics.relatives import network_name, way_out

C3K2 = "model.2.m.0.cv1.conv.weight"
PSA = "model.10.m.0.attn.qkv.conv.weight"  # of YOLO11 and YOLO26
BOXES = "model.23.cv2.0.0.conv.weight"
YOLO26 = (C3K2, PSA, "model.22.m.0.0.cv1.conv.weight")
YOLOV8 = ("model.21.m.0.cv1.conv.weight", "model.22.cv2.0.0.conv.weight")


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        (YOLOV8, "YOLOv8 detection"),
        ((*YOLOV8, "model.22.proto.cv1.conv.weight"), "YOLOv8 segmentation"),
        ((*YOLOV8, "model.22.cv4.0.0.conv.weight"), "YOLOv8 pose or oriented boxes"),
        ((*YOLOV8, "model.22.cv4.0.logit_scale"), "YOLOv8 with text prompts"),
        ((C3K2, "model.9.linear.weight"), "YOLOv8 classification"),
        ((C3K2, PSA, BOXES), "YOLO11 detection"),
        ((C3K2, PSA, BOXES, "model.23.proto.cv1.conv.weight"), "YOLO11 segmentation"),
        ((C3K2, PSA, BOXES, "model.23.cv4.0.0.conv.weight"), "YOLO11 pose or oriented boxes"),
        (
            (C3K2, PSA, BOXES, "model.23.one2one_cv2.0.0.conv.weight"),
            "YOLO11 detection with one-to-one heads",
        ),
        (
            ("model.9.m.0.attn.qkv.conv.weight", "model.10.linear.weight"),
            "YOLO11 or YOLO26 classification",
        ),
        ((*YOLO26, BOXES, "model.23.one2one_cv2.0.0.conv.weight"), "YOLO26 detection"),
        ((*YOLO26, "model.23.one2one_cv2.0.0.conv.weight"), "YOLO26 detection"),  # fused
        ((*YOLO26, "model.23.one2one_cv4.0.0.conv.weight"), "YOLO26 pose or oriented boxes"),
        ((C3K2, "model.6.m.0.0.attn.qkv.conv.weight"), "YOLO12 detection"),
        (("model.10.attn.qkv.conv.weight", "model.23.one2one_cv2.0.0.conv.weight"),
         "YOLOv10 detection"),
        # the fourth convolution of a block is no branch of the head
        (("model.4.cv2.0.cv1.conv.weight", "model.4.cv4.conv.weight"), "YOLOv9 detection"),
        (("model.24.m.0.weight",), "YOLOv5 detection"),
        (("model.24.cv2.0.0.conv.weight",), "YOLOv5u detection"),
        (("model.0.layer.0.conv.weight",), None),
        ((), None),
    ],
)  # fmt: skip
def test_tensors_tell_the_network(keys: tuple[str, ...], name: str | None) -> None:
    assert network_name(keys) == name


def test_the_class_tells_the_task_more_exactly() -> None:
    keys = (C3K2, PSA, "model.23.cv4.0.0.conv.weight")
    assert network_name(keys, class_name="PoseModel") == "YOLO11 pose"
    assert network_name(keys, class_name="OBBModel") == "YOLO11 oriented boxes"


def test_way_out_is_a_command_or_a_recipe_of_ones_own() -> None:
    assert way_out("YOLO11 detection", path=Path("my best.pt")) == (
        "`python -m convert run face_emotion_yolo11n --checkpoint 'my best.pt'` converts it"
    )
    for name in ("YOLO26 detection", None):
        text = way_out(name, path=Path("best.pt"))
        assert "YOLO11 detection (face_emotion_yolo11n)" in text
        assert "write a recipe of your own for another network (convert/README.md)" in text
