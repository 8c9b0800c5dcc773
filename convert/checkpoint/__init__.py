"""Checkpoints as data: read without running anything in them, or refused with the reason.

`kinds` detects what a file is; `torch_file`, `keras_file`, `folder` and `ultralytics` read it;
`keys` and `strict` fit it into a network, and `nearest` names the network that it fits instead;
`class_names` and `labels` find its class names, `class_centers` and `settings` the rest that
training scripts save; `stubs` replaces pickled classes; `digests` identifies it. Recipes get these
functions from `convert.authoring`.
"""

from convert.checkpoint.class_names import labels_in, read_labels
from convert.checkpoint.digests import tensors_digest
from convert.checkpoint.keras_file import check_keras_config
from convert.checkpoint.kinds import detect_kind, require_kind
from convert.checkpoint.strict import load_strictly
from convert.checkpoint.torch_file import read_checkpoint, read_state_dict, state_dict_in

__all__ = [
    "check_keras_config",
    "detect_kind",
    "labels_in",
    "load_strictly",
    "read_checkpoint",
    "read_labels",
    "read_state_dict",
    "require_kind",
    "state_dict_in",
    "tensors_digest",
]
