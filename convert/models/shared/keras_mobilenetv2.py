"""MobileNetV2 of keras.applications as an image embedding, from a file with or without a head.

The embedding is the pooled output of the last activation, `out_relu`, as keras.applications returns
it with `include_top=False, pooling="avg"`. The file's own layers compute it, so padding and epsilon
are the file's, and layers before the network that scale pixels are converted with it. A file
that has none of them is read as `keras.applications.mobilenet_v2.preprocess_input` makes its input,
(x / 127.5) - 1; that input is no part of the file.

A file of weights alone, as keras.applications publishes them, is read too: its shapes tell the
width of the network, and its name the size of the pictures.

The whole picture is resized to the file's size, as Keras's own loaders do, with Pillow's BILINEAR;
a file that is known with the filter of its own code. torchvision crops the middle instead, so the
embeddings of the two do not compare.

Source: keras.applications.mobilenet_v2.
"""

import hashlib
import re
import tempfile
from pathlib import Path
from typing import Any

from convert.authoring import (
    Assumption,
    CheckpointError,
    ImageInput,
    KerasNetwork,
    Loaded,
    Resize,
    UnitEmbedding,
    import_keras,
    keras_weight_shapes,
    load_keras,
    parse_scale,
)
from convert.models.shared.keras_input_scale import find_scale

LAST = "out_relu"
LANDMARKS = ("Conv1", "expanded_conv_depthwise", "block_16_project", "Conv_1", LAST)
CHANNELS = 3
# of a file of weights: the widths that keras.applications publishes, and the name's size in px
ALPHAS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
PUBLISHED_NAME = re.compile(r"mobilenet_v2_weights_.+_(96|128|160|192|224)(?:_no_top)?\.h5")
SIZE = "input_size"  # name of the fact, and of the option
DEFAULT_SIDE, SIDES = 224, range(32, 1025)  # px


def load_keras_mobilenetv2(
    path: Path, *, input_scale: str | None, input_size: str | None, known_sha256: str
) -> Loaded:
    """Read a Keras file whose network is keras.applications' MobileNetV2, of any alpha.

    Args:
        path: the file.
        input_scale: the scale of pixels that training used, as `parse_scale` reads it; None: the
            file's layers show it, or symmetric is assumed.
        input_size: side of the pictures in px, of a file of weights alone; None: by its name.
        known_sha256: of a file that is known to be trained on symmetric pixels, and whose code
            resizes with Pillow's BICUBIC.

    Raises:
        CheckpointError: it is no Keras file, another network, or of no fixed size.
    """
    shapes = keras_weight_shapes(path)
    facts: tuple[Assumption, ...] = ()
    if shapes is None:
        if input_size is not None:
            raise CheckpointError(f"{path}: holds its own size; --input-size is for weights alone")
        model = load_keras(path)
    else:
        facts = (_size_fact(path, input_size),)
        model = _build(path, shapes, side=int(facts[0].value))
    KerasNetwork(model, where=str(path))  # checks: one image of fixed size
    features = _features(model)
    if features is None:
        raise CheckpointError(
            f"{path}: no MobileNetV2 of keras.applications: needed are layers of the names "
            f"{', '.join(LANDMARKS)}; for another network write a recipe (convert/README.md)"
        )
    scale = find_scale(model, path, stated=input_scale, known_sha256=known_sha256)
    network = KerasNetwork(features, where=str(path))
    height, width, _ = network.input_shape
    arithmetic = parse_scale(scale.value).arguments(CHANNELS)
    if hashlib.sha256(path.read_bytes()).hexdigest() == known_sha256:
        step = Resize("pil_bicubic", height=height, width=width)
        facts = (
            *facts,
            Assumption("resize", "pil_bicubic", "file", "as the package's code resizes"),
        )
    else:
        step = Resize("pil_bilinear", height=height, width=width)
    return Loaded(
        network=network,
        input=ImageInput(height, width, CHANNELS, layout="NHWC", **arithmetic),
        head=UnitEmbedding(),
        preprocess=(step,),
        assumptions=(scale, *facts),
    )


def _features(model: Any) -> Any | None:
    """Return the model from its own input to the pooled features; None: no MobileNetV2 in it."""
    keras = import_keras()
    names = {layer.name for layer in model.layers}
    if names.issuperset(LANDMARKS):
        pooled = keras.layers.GlobalAveragePooling2D()(model.get_layer(LAST).output)
        return keras.Model(model.inputs, pooled)
    for layer in model.layers:
        inner = _features(layer) if hasattr(layer, "layers") else None
        if inner is not None:
            (node,) = layer._inbound_nodes[-1:]  # its call in this model
            return keras.Model(model.inputs, inner(node.input_tensors[0]))
    return None


def _size_fact(path: Path, stated: str | None) -> Assumption:
    """Return the size of the pictures of a file of weights, in px.

    Raises:
        CheckpointError: the stated one is none of SIDES.
    """
    if stated is not None:
        if not stated.isdigit() or int(stated) not in SIDES:
            raise CheckpointError(
                f"{path}: --input-size is {stated[:20]!r}; allowed: {SIDES.start} to "
                f"{SIDES.stop - 1} px"
            )
        return Assumption(SIZE, str(int(stated)), "option", f"pictures of {stated} px")
    name = PUBLISHED_NAME.fullmatch(path.name)
    if name is not None:
        return Assumption(SIZE, name[1], "file", f"pictures of {name[1]} px, by the file's name")
    return Assumption(
        SIZE,
        str(DEFAULT_SIDE),
        "default",
        "a file of weights does not tell the size of its pictures; assumed: "
        f"{DEFAULT_SIDE} px. State it: --input-size {DEFAULT_SIDE}",
    )


def _build(path: Path, shapes: list[tuple[int, ...]], *, side: int) -> Any:
    """Return the network of a file of weights.

    Raises:
        CheckpointError: the weights are not those of a MobileNetV2.
    """
    keras = import_keras()
    alpha = next((alpha for alpha in ALPHAS if _last_projection(alpha) in shapes), None)
    if alpha is None:
        raise CheckpointError(
            f"{path}: weights without an architecture, and not those of a MobileNetV2 of "
            "keras.applications; in Keras: build the model, model.load_weights(FILE), "
            "model.save('model.keras')"
        )
    classes = next((shape[1] for shape in shapes if len(shape) == 2), None)
    head = {"include_top": False} if classes is None else {"classes": classes}
    size = (side, side, CHANNELS)
    model = keras.applications.MobileNetV2(size, alpha=alpha, weights=None, **head)
    _load_weights(model, path)
    return model


def _last_projection(alpha: float) -> tuple[int, ...]:
    """Return the shape of the last block's projection, (1, 1, 6 * in, out)."""
    return (1, 1, 6 * _channels(160 * alpha), _channels(320 * alpha))


def _channels(width: float) -> int:
    """Return a width as the network rounds it: to 8, at most a tenth below."""
    rounded = max(8, int(width + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * width else rounded


def _load_weights(model: Any, path: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="slipway-keras-") as directory:
        # Keras reads the two layouts of weights by the end of the file's name
        ending = ".weights.h5" if path.name.endswith(".weights.h5") else ".h5"
        copy = Path(directory) / f"model{ending}"
        copy.symlink_to(path.resolve())
        try:
            model.load_weights(copy)
        except Exception as error:  # h5py and Keras raise a dozen types
            raise CheckpointError(
                f"{path}: not the weights of this MobileNetV2: {str(error).splitlines()[0][:200]}"
            ) from error
