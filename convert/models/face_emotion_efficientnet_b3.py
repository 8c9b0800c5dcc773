"""EfficientNet-B3 face emotion: an owner's classifier, of any class count; B0 to B4 convert.

Keys may be torchvision's or timm's, see `convert.architectures.efficientnet_keys`. The recipe reads
what keys do not tell from the settings that training scripts save with the weights:

- class names, see `read_labels`. Seven classes without names are assumed to be in FER2013 order.
  Networks trained with ImageFolder use alphabetical order: name them with a labels file.
- `input_size` or `img_size`: the resolution that the network was trained at. Default: the paper's
  for that size of the network.
- `arch`, as timm's training script writes it: `tf_efficientnet_b3` has the keys of
  `efficientnet_b3` but computes with TensorFlow's padding and epsilon. Default: ARCH. To convert a
  bare state_dict of a `tf_efficientnet`, copy this recipe and change ARCH.

Source: torchvision `efficientnet_b3`, timm `efficientnet_b3` and `tf_efficientnet_b3`. Mean and
deviation are ImageNet's; the whole crop is resized as `transforms.Resize((300, 300))` does.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.authoring import (
    FER2013,
    CheckpointError,
    ImageInput,
    Loaded,
    Probabilities,
    Recipe,
    Resize,
    Tolerance,
    TorchNetwork,
    fer2013_labels,
    labels_in,
    load_strictly,
    matching_labels,
    read_checkpoint,
    sample_input,
    seed_torch,
    setting_values,
    state_dict_in,
)

if TYPE_CHECKING:
    from convert.architectures.efficientnet import Arithmetic

ARCH = "efficientnet_b3"
SIDE = 300  # px
ALLOWED_SIDES = range(32, 1025)  # px
TIMM_KEY = "conv_stem.weight"  # which only timm's layout has
MARKER_KEYS = ("features.0.0.weight", TIMM_KEY)


def _load(path: Path) -> Loaded:
    from convert.architectures.efficientnet import EfficientNet
    from convert.architectures.efficientnet_keys import in_our_layout, size_of

    checkpoint = read_checkpoint(path)
    file_state = state_dict_in(checkpoint, path=path, marker_keys=MARKER_KEYS)
    is_timm = TIMM_KEY in file_state
    state = in_our_layout(file_state)
    try:
        size = size_of(state)
    except ValueError as error:
        raise CheckpointError(f"{path}: no EfficientNet that is known here: {error}") from error
    class_count = _class_count(path, state)
    arithmetic = _arithmetic(checkpoint, is_timm=is_timm)
    module = EfficientNet(size, class_count=class_count, arithmetic=arithmetic)
    _load_state(module, state, path=path, is_timm=is_timm)
    height, width = _resolution(path, checkpoint) or (size.side, size.side)
    labels = labels_in(checkpoint, path=path)
    labels = matching_labels(labels, class_count, path=path, layer="classifier")
    labels = labels or fer2013_labels(class_count)
    return _loaded_model(module, height=height, width=width, labels=labels)


def _load_state(module: object, state: Mapping[str, Any], *, path: Path, is_timm: bool) -> None:
    try:
        load_strictly(module, state, path=path)
    except CheckpointError as error:
        if not is_timm:
            raise
        raise CheckpointError(f"{error} (torchvision's names; the file's are timm's)") from error


def _class_count(path: Path, state: Mapping[str, Any]) -> int:
    weight = state.get("classifier.1.weight")
    if weight is None or weight.ndim != 2:
        return len(FER2013)  # any count: load_strictly then names what is wrong
    if weight.shape[0] < 2:
        raise CheckpointError(f"{path}: the classifier has {weight.shape[0]} classes; at least two")
    return int(weight.shape[0])


def _arithmetic(checkpoint: object, *, is_timm: bool) -> "Arithmetic":
    from convert.architectures.efficientnet import PLAIN, TENSORFLOW

    values = [str(value) for value in setting_values(checkpoint, "arch")]
    arch = next((value for value in values if "efficientnet" in value), ARCH)
    return TENSORFLOW if is_timm and "tf_efficientnet" in arch else PLAIN


def _resolution(path: Path, checkpoint: object) -> tuple[int, int] | None:
    """Return (height, width) in px that the checkpoint was trained at; None: it does not say."""
    value = next(setting_values(checkpoint, "input_size", "img_size"), None)
    if value is None:
        return None
    sides = tuple(value[-2:]) if isinstance(value, list | tuple) else (value, value)
    if len(sides) != 2 or not all(isinstance(s, int) and s in ALLOWED_SIDES for s in sides):
        raise CheckpointError(
            f"{path}: its settings give the input the size {str(value)[:60]}; "
            f"allowed: {ALLOWED_SIDES.start} to {ALLOWED_SIDES.stop - 1} px, or height and width"
        )
    return (sides[0], sides[1])


def _seed() -> Loaded:
    from convert.architectures.efficientnet import RESIDUAL_NORMS, EfficientNet

    module = EfficientNet(class_count=len(FER2013))
    loaded = _loaded_model(module, height=SIDE, width=SIDE, labels=FER2013)
    # scenes: eight synthetic faces are so alike that logits of a ninth reach 20 instead of 0.3
    seed_torch(module, sample_input(loaded, media="scene"), residual_norms=RESIDUAL_NORMS)
    return loaded


def _loaded_model(module: object, *, height: int, width: int, labels: tuple[str, ...]) -> Loaded:
    return Loaded(
        network=TorchNetwork(module, input_shape=(3, height, width)),
        input=ImageInput(height, width, 3, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
        head=Probabilities(softmax=True),
        preprocess=(Resize(height=height, width=width, interpolation="linear_antialias"),),
        labels=labels,
    )


RECIPE = Recipe(
    task="image-classification",
    description="Emotion of a face crop (EfficientNet-B3; the owner's checkpoint)",
    licence="of the checkpoint's owner",
    load=_load,
    seed=_seed,
    tolerance=Tolerance(at_least={"top1_agreement": 0.98}, at_most={"probability_distance": 0.03}),
    media="face",
)
