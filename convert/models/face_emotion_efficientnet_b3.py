"""EfficientNet-B3 face emotion: an owner's classifier, of any class count; B0 to B4 convert.

Keys may be torchvision's, timm's or lukemelas/EfficientNet-PyTorch's, see
`convert.architectures.efficientnet_keys`, under any prefix, with a head of one linear layer under
any name. The recipe reads what keys do not tell from the settings that training scripts save with
the weights:

- class names, see `read_labels`. Seven classes without names are assumed to be in FER2013 order.
  Networks trained with ImageFolder use alphabetical order: name them with a labels file.
- `input_size`, `img_size` or `image_size`: the resolution that the network was trained at. Option:
  `--input-size`. Default: the paper's for that size of the network, with a warning.
- mean and deviation of pixels, which timm keeps as `pretrained_cfg`. Option: `--input-scale`.
  Default: ImageNet's, with a warning.
- `arch`, `model_name`, `args.model` and the like, or `architecture` of a config.json beside the
  file: `tf_efficientnet_b3` has timm's keys of `efficientnet_b3` but computes with TensorFlow's
  padding and epsilon. Option: `--arch`. Default: ARCH, with a warning. EfficientNet-PyTorch always
  computes as TensorFlow does.

Source: torchvision `efficientnet_b3`, timm `efficientnet_b3` and `tf_efficientnet_b3`. The whole
crop is resized as `transforms.Resize((300, 300))` does.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.authoring import (
    FER2013,
    Assumption,
    CheckpointError,
    ImageInput,
    ImageSettings,
    Layout,
    Loaded,
    Probabilities,
    Recipe,
    Resize,
    Tolerance,
    TorchNetwork,
    arch_names,
    fer2013_labels,
    find_backbone,
    image_settings,
    labels_in,
    linear_head,
    load_strictly,
    matching_labels,
    numbered,
    parse_scale,
    read_checkpoint,
    sample_input,
    seed_torch,
    setting_values,
    state_dict_in,
)
from convert.models.shared.torch_image_facts import (
    DEFAULT_SCALE,
    SCALE,
    SIZE,
    scale_fact,
    with_timms_resizing,
)

if TYPE_CHECKING:
    from convert.architectures.efficientnet import Arithmetic
    from convert.architectures.efficientnet_keys import Size

TORCHVISION, TIMM, PYTORCH = "torchvision", "timm", "efficientnet_pytorch"
ARCH = "efficientnet_b3"  # for a file of timm's keys that states no name
SIDE = 300  # px
ALLOWED_SIDES = range(32, 1025)  # px
HALVINGS = 5
TIMM_KEY = "conv_stem.weight"  # which only timm's layout has
MARKER_KEYS = ("features.0.0.weight", TIMM_KEY)
CLASSIFIER = "classifier.1"
NAME = re.compile(r"(?:.*/)?(tf_)?(efficientnet_b[0-9])(?:_\w+)?(?:\.\w+)?")


def _load(
    path: Path,
    *,
    arch: str | None = None,
    input_scale: str | None = None,
    input_size: str | None = None,
) -> Loaded:
    from convert.architectures.efficientnet import EfficientNet
    from convert.architectures.efficientnet_keys import size_of

    checkpoint = read_checkpoint(path)
    layout, state, facts = _read_state(path, checkpoint)
    try:
        size = size_of(state)
    except ValueError as error:
        raise CheckpointError(
            f"{path}: no EfficientNet that is known here: {error}; for another network write a "
            "recipe of your own (convert/README.md)"
        ) from error
    fact = _find_arch(path, arch or None, list(arch_names(checkpoint, path=path)), layout, size)
    class_count = _class_count(path, state)
    module = EfficientNet(size, class_count=class_count, arithmetic=_arithmetic(layout, fact))
    _load_state(module, state, path=path, layout=layout)
    settings = image_settings(checkpoint, path=path)
    scale = scale_fact(settings, path, stated=input_scale)
    resolution = _resolution(path, checkpoint, settings, size, input_size)
    height, width = map(int, resolution.value.split("x"))
    if layout == PYTORCH:
        _check_static_padding(path, size, (height, width))
    labels = labels_in(checkpoint, path=path)
    labels = matching_labels(labels, class_count, path=path, layer="classifier")
    labels = labels or fer2013_labels(class_count)
    loaded = _loaded_model(module, height=height, width=width, labels=labels, scale=scale.value)
    loaded = replace(loaded, assumptions=(fact, scale, resolution, *facts))
    # in a checkpoint they may be those of the network that training began with
    return with_timms_resizing(
        loaded,
        settings,
        in_words="resizes the whole picture, bilinear",
        is_timms=layout == TIMM,
        follows=settings.is_beside,
    )


def _layouts() -> tuple[Layout, ...]:
    from convert.architectures.efficientnet_keys import from_efficientnet_pytorch, in_our_layout

    timm_children = {"0": "conv_stem", "1": "bn1", "2": "blocks", "3": "conv_head", "4": "bn2"}
    by_number = numbered(timm_children)
    return (
        Layout(TIMM, (TIMM_KEY, "bn1.weight"), in_our_layout),
        Layout(PYTORCH, ("_conv_stem.weight", "_bn0.weight"), from_efficientnet_pytorch),
        Layout(
            TORCHVISION,
            ("features.0.0.weight", "features.1.0.block.0.0.weight"),
            in_our_layout,
        ),
        Layout(
            TORCHVISION,
            ("0.0.0.weight", "0.1.0.block.0.0.weight"),
            numbered({"0": "features"}),
        ),
        Layout(
            TIMM,
            ("0.weight", "2.0.0.conv_dw.weight"),
            lambda state: in_our_layout(by_number(state)),
        ),
    )


def _read_state(
    path: Path, checkpoint: object
) -> tuple[str, dict[str, Any], tuple[Assumption, ...]]:
    """Return the layout's name, the state in our layout, and what was assumed about the head."""
    from convert.architectures.efficientnet_keys import HEAD_KEY, in_our_layout

    backbone = find_backbone(state_dict_in(checkpoint, path=path), _layouts())
    if backbone is None:  # damaged or another network: load_strictly names the keys
        file_state = state_dict_in(checkpoint, path=path, marker_keys=MARKER_KEYS)
        return TIMM if TIMM_KEY in file_state else TORCHVISION, in_our_layout(file_state), ()
    state = {**backbone.state, **backbone.others}
    leftover = {key: value for key, value in state.items() if not key.startswith("features.")}
    pooled = state.get(HEAD_KEY)
    head = linear_head(leftover, pooled.shape[0]) if pooled is not None else None
    if head is None or head.name == CLASSIFIER:
        return backbone.layout.name, state, ()
    own = {key: value for key, value in state.items() if key not in leftover}
    own[f"{CLASSIFIER}.weight"] = head.weight
    own[f"{CLASSIFIER}.bias"] = (
        head.weight.new_zeros(len(head.weight)) if head.bias is None else head.bias
    )
    return backbone.layout.name, own, (_head_fact(head.name),)


def _head_fact(name: str) -> Assumption:
    return Assumption(
        "head",
        name,
        "default",
        f"the file's layer {name} is taken as the classifier of the averaged features; an "
        "activation or another pooling before it would not show in a file. If there is one, write "
        "a recipe of your own (convert/README.md)",
    )


def _find_arch(
    path: Path, stated: str | None, in_file: list[str], layout: str, size: "Size"
) -> Assumption:
    """Return the name of the network, which decides padding and epsilon where keys are timm's.

    Raises:
        CheckpointError: --arch names another network than the keys or shapes.
    """
    if stated is not None:
        match = NAME.fullmatch(stated)
        is_tensorflows = bool(match and match[1])
        if match is None or match[2] != size.name or (is_tensorflows and layout == TORCHVISION):
            allowed = size.name if layout == TORCHVISION else f"{size.name}, tf_{size.name}"
            raise CheckpointError(
                f"{path}: --arch is {stated[:60]!r}; by keys ({layout}'s) and shapes allowed: "
                f"{allowed}"
            )
        return Assumption("arch", stated, "option", f"--arch {stated}")
    if layout != TIMM:
        how = "TensorFlow's" if layout == PYTORCH else "symmetric"
        sentence = f"the keys are {layout}'s, which computes with {how} padding"
        return Assumption("arch", size.name, "file", sentence)
    name = next((name for name in in_file if _names(name, size)), None)
    if name is not None:
        return Assumption("arch", name[:200], "file", f"the file states {name[:200]}")
    value = size.name if ARCH.startswith("efficientnet") else f"tf_{size.name}"
    return Assumption(
        "arch",
        value,
        "default",
        f"the file does not tell {size.name} from tf_{size.name}, which have the same keys and "
        f"other padding and epsilon; assumed: {value}. State it: --arch {size.name} or "
        f"--arch tf_{size.name}",
    )


def _names(name: str, size: "Size") -> bool:
    """Return whether a name is of this size; `tf_efficientnet` alone names its arithmetic."""
    match = NAME.fullmatch(name)
    return match[2] == size.name if match else name in ("efficientnet", "tf_efficientnet")


def _arithmetic(layout: str, fact: Assumption) -> "Arithmetic":
    from convert.architectures.efficientnet import PLAIN, TENSORFLOW

    if layout == PYTORCH:
        return TENSORFLOW
    return TENSORFLOW if layout == TIMM and "tf_efficientnet" in fact.value else PLAIN


def _check_static_padding(path: Path, size: "Size", sides: tuple[int, int]) -> None:
    """Refuse a size that EfficientNet-PyTorch pads otherwise than TensorFlow does.

    It computes the padding once, for the size's own resolution; the padding of a stride of two
    depends on whether the side is odd.
    """
    own = _odd_halvings(size.side)
    for side in sides:
        if _odd_halvings(side) != own:
            raise CheckpointError(
                f"{path}: efficientnet_pytorch pads an image of {side} px as one of {size.side} "
                "px, which this model does not; write a recipe of your own (convert/README.md)"
            )


def _odd_halvings(side: int) -> list[bool]:
    odd = []
    for _ in range(HALVINGS):
        odd.append(side % 2 == 1)
        side = math.ceil(side / 2)
    return odd


def _load_state(module: object, state: Mapping[str, Any], *, path: Path, layout: str) -> None:
    try:
        load_strictly(module, state, path=path)
    except CheckpointError as error:
        if layout == TORCHVISION:
            raise
        raise CheckpointError(
            f"{error} (torchvision's names; the file's are {layout}'s)"
        ) from error


def _class_count(path: Path, state: Mapping[str, Any]) -> int:
    weight = state.get(f"{CLASSIFIER}.weight")
    if weight is None or weight.ndim != 2:
        return len(FER2013)  # any count: load_strictly then names what is wrong
    if weight.shape[0] < 2:
        raise CheckpointError(f"{path}: the classifier has {weight.shape[0]} classes; at least two")
    return int(weight.shape[0])


def _resolution(
    path: Path, checkpoint: object, settings: ImageSettings, size: "Size", stated: str | None
) -> Assumption:
    """Return "HEIGHTxWIDTH" in px: as stated, else as the file says, else the paper's.

    Raises:
        CheckpointError: it is no size, or out of ALLOWED_SIDES.
    """
    in_file = next(setting_values(checkpoint, "input_size", "img_size", "image_size"), None)
    if stated is not None:
        sides = [int(side) if side.isdigit() else side for side in stated.split("x")]
        value = _size_text(path, sides if len(sides) > 1 else sides[0])
        return Assumption(SIZE, value, "option", f"pictures of {value} px by --input-size")
    if in_file is not None:
        value = _size_text(path, in_file)
        return Assumption(SIZE, value, "file", f"pictures of {value} px by the file's settings")
    if settings.side is not None:
        value = _size_text(path, settings.side)
        return Assumption(SIZE, value, "file", f"pictures of {value} px by timm's settings")
    return Assumption(
        SIZE,
        f"{size.side}x{size.side}",
        "default",
        f"the file does not tell the size of the pictures that training used; assumed: "
        f"{size.side} px, as published for {size.name}, to which the whole picture is resized, "
        f"bilinear. State it: --input-size {size.side}",
    )


def _size_text(path: Path, value: object) -> str:
    """Return a side, or (..., height, width), as "HEIGHTxWIDTH"."""
    sides = tuple(value[-2:]) if isinstance(value, list | tuple) else (value, value)
    if len(sides) != 2 or not all(isinstance(s, int) and s in ALLOWED_SIDES for s in sides):
        raise CheckpointError(
            f"{path}: its settings give the input the size {str(value)[:60]}; "
            f"allowed: {ALLOWED_SIDES.start} to {ALLOWED_SIDES.stop - 1} px, or height and width"
        )
    return f"{sides[0]}x{sides[1]}"


def _seed() -> Loaded:
    from convert.architectures.efficientnet import RESIDUAL_NORMS, EfficientNet

    module = EfficientNet(class_count=len(FER2013))
    loaded = _loaded_model(module, height=SIDE, width=SIDE, labels=FER2013)
    # scenes: eight synthetic faces are so alike that logits of a ninth reach 20 instead of 0.3
    seed_torch(module, sample_input(loaded, media="scene"), residual_norms=RESIDUAL_NORMS)
    return loaded


def _loaded_model(
    module: object,
    *,
    height: int,
    width: int,
    labels: tuple[str, ...],
    scale: str = DEFAULT_SCALE,
) -> Loaded:
    return Loaded(
        network=TorchNetwork(module, input_shape=(3, height, width)),
        input=ImageInput(height, width, 3, **parse_scale(scale).arguments(3)),
        head=Probabilities(softmax=True),
        preprocess=(Resize(height=height, width=width, interpolation="pil_bilinear"),),
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
    options=("arch", SCALE, SIZE),
)
