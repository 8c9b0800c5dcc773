"""EfficientNet-B3 face emotion: an owner's classifier, of any class count; B0 to B4 convert.

Keys may be torchvision's or timm's, see `convert.architectures.efficientnet_keys`. What they do not
tell is taken from what training scripts leave beside the weights:

- class names, as `convert.checkpoint.read_labels` finds them; else seven classes are taken for
  FER2013's, in its order (a network trained from folders has them in alphabetical order: name them
  with a labels file);
- `input_size` or `img_size`: the resolution trained at; else the one the paper gives that size;
- `arch`, as timm's training script writes it: `tf_efficientnet_b3` has the keys of
  `efficientnet_b3` and computes otherwise (TensorFlow's padding and epsilon). A file that does not
  say so is taken for ARCH: for a bare state_dict of the former, copy this recipe and change it.

Source: torchvision `efficientnet_b3`, timm `efficientnet_b3` and `tf_efficientnet_b3`. Mean and
deviation are ImageNet's; the whole crop is resized as `transforms.Resize((300, 300))` does.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.checkpoint import labels_in, load_strictly, read_checkpoint, state_dict_in
from convert.checkpoint.class_names import SETTINGS
from convert.checkpoint.labels import FER2013
from convert.errors import CheckpointError
from convert.export.frameworks.torch_module import TorchNetwork
from convert.export.numerics import ImageInput, Probabilities
from convert.recipe import Loaded, Recipe, Tolerance
from convert.weights.seeded import sample_input, seed_torch
from runtime.artifact.manifest import Resize

if TYPE_CHECKING:
    from convert.architectures.efficientnet import Arithmetic

ARCH = "efficientnet_b3"
SIDE = 300  # px
SIDES = range(32, 1025)  # px, that an input may have
ANCHORS = ("features.0.0.weight", "conv_stem.weight")


def _load(path: Path) -> Loaded:
    from convert.architectures.efficientnet import EfficientNet
    from convert.architectures.efficientnet_keys import in_our_layout, size_of

    beside = read_checkpoint(path)
    given = state_dict_in(beside, path=path, anchors=ANCHORS)
    state = in_our_layout(given)
    try:
        size = size_of(state)
    except ValueError as error:
        raise CheckpointError(f"{path}: no EfficientNet that is known here: {error}") from error
    class_count = _class_count(path, state)
    module = EfficientNet(size, class_count=class_count, arithmetic=_arithmetic(given, beside))
    _fit(module, state, path=path, is_timms="conv_stem.weight" in given)
    height, width = _resolution(path, beside) or (size.side, size.side)
    return _around(
        module, height=height, width=width, labels=_labels(path, beside, count=class_count)
    )


def _fit(module: object, state: Mapping[str, Any], *, path: Path, is_timms: bool) -> None:
    try:
        load_strictly(module, state, path=path)
    except CheckpointError as error:
        if not is_timms:
            raise
        raise CheckpointError(f"{error} (torchvision's names; the file's are timm's)") from error


def _class_count(path: Path, state: Mapping[str, Any]) -> int:
    weight = state.get("classifier.1.weight")
    if weight is None or weight.ndim != 2:
        return len(FER2013)  # loading it names what is wrong
    if weight.shape[0] < 2:
        raise CheckpointError(f"{path}: the classifier has {weight.shape[0]} classes; at least two")
    return int(weight.shape[0])


def _arithmetic(state: Mapping[str, Any], beside: object) -> "Arithmetic":
    from convert.architectures.efficientnet import PLAIN, TENSORFLOW

    named = [str(value) for value in _settings(beside, "arch") if "efficientnet" in str(value)]
    is_tensorflows = "tf_efficientnet" in [*named, ARCH][0]
    return TENSORFLOW if is_tensorflows and "conv_stem.weight" in state else PLAIN


def _resolution(path: Path, beside: object) -> tuple[int, int] | None:
    """(height, width) in px that the checkpoint says it was trained at."""
    for value in _settings(beside, "input_size", "img_size"):
        sides = tuple(value[-2:]) if isinstance(value, list | tuple) else (value, value)
        if len(sides) != 2 or not all(isinstance(side, int) and side in SIDES for side in sides):
            raise CheckpointError(
                f"{path}: says that its input is of size {str(value)[:60]}; "
                f"needed: {SIDES.start} to {SIDES.stop - 1} px, or height and width"
            )
        return (sides[0], sides[1])
    return None


def _settings(beside: object, *names: str) -> Iterator[object]:
    """Values of these names beside the weights, or among the settings there; None is no value."""
    if isinstance(beside, Mapping):
        for place in (beside, *(beside.get(name) for name in SETTINGS)):
            if isinstance(place, Mapping):
                yield from (place[name] for name in names if place.get(name) is not None)


def _labels(path: Path, beside: object, *, count: int) -> tuple[str, ...]:
    found = labels_in(beside, path=path)
    if found and len(found) != count:
        raise CheckpointError(
            f"{path}: names {len(found)} classes ({', '.join(found)[:200]}); "
            f"its classifier has {count}"
        )
    return found or (FER2013 if count == len(FER2013) else ())


def _seed() -> Loaded:
    from convert.architectures.efficientnet import RESIDUAL_NORMS, EfficientNet

    module = EfficientNet(class_count=len(FER2013))
    loaded = _around(module, height=SIDE, width=SIDE, labels=FER2013)
    # not faces: eight of them are so alike that logits of a ninth reach 20 instead of 0.3
    seed_torch(module, sample_input(loaded, media="scene"), residual_norms=RESIDUAL_NORMS)
    return loaded


def _around(module: object, *, height: int, width: int, labels: tuple[str, ...]) -> Loaded:
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
