"""YOLOv8 and YOLO11 checkpoints of ultralytics: a pickled module graph, or a state_dict.

`reader` reads them, `layouts` holds the facts of the two networks, `graph` compares the records of
a file with them, and `relatives` names the networks of the same makers that are refused.
"""

from convert.checkpoint.ultralytics.reader import UltralyticsCheckpoint, read_ultralytics

__all__ = ["UltralyticsCheckpoint", "read_ultralytics"]
