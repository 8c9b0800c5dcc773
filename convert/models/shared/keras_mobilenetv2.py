"""MobileNetV2 of keras.applications as an image embedding, from a file with or without a head.

The embedding is the pooled output of the last activation, `out_relu`, as keras.applications returns
it with `include_top=False, pooling="avg"`. The file's own layers compute it, so padding and epsilon
are the file's. The scale of the pixels is measured on the layers before the network. A file that
has none of them is read as `keras.applications.mobilenet_v2.preprocess_input` makes its input,
(x / 127.5) - 1; that input is no part of the file.

The whole picture is resized to the file's size, as Keras's own loaders do. torchvision crops the
middle instead, so the embeddings of the two do not compare.

Source: keras.applications.mobilenet_v2.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from convert.authoring import (
    Assumption,
    CheckpointError,
    ImageInput,
    KerasNetwork,
    Loaded,
    Resize,
    UnitEmbedding,
    import_keras,
    load_keras,
)

NAME = "input_scale"  # of the assumption
FIRST = ("Conv1_pad", "Conv1")  # Keras 2 pads in a layer of its own
LAST = "out_relu"
LANDMARKS = ("Conv1", "expanded_conv_depthwise", "block_16_project", "Conv_1", LAST)
LEVELS = (0.0, 64.0, 255.0)  # of pixels, to measure the scale on
CHANNELS = 3


@dataclass(frozen=True, slots=True)
class PixelScale:
    """The arithmetic before the network: pixel * scale + offset, per channel."""

    scale: tuple[float, ...]
    offset: tuple[float, ...]


# of keras.applications.mobilenet_v2.preprocess_input
DEFAULT_SCALE = PixelScale((1 / 127.5,) * CHANNELS, (-1.0,) * CHANNELS)


def load_keras_mobilenetv2(path: Path, *, known_sha256: str) -> Loaded:
    """Read a Keras file whose network is keras.applications' MobileNetV2, of any alpha.

    Args:
        path: the file.
        known_sha256: of a file that is known to be trained on DEFAULT_SCALE.

    Raises:
        CheckpointError: it is no Keras file, another network, of no fixed size, or the layers
            before the network do more than scale pixels.
    """
    model = load_keras(path)
    KerasNetwork(model, where=str(path))  # checks: one image of fixed size
    owners = _owners(model)
    if owners is None:
        raise CheckpointError(
            f"{path}: no MobileNetV2 of keras.applications: needed are layers of the names "
            f"{', '.join(LANDMARKS)}; for another network write a recipe (convert/README.md)"
        )
    network = KerasNetwork(_cut(owners[-1]), where=str(path))
    height, width, _ = network.input_shape
    measured = _pixel_scale(owners, path)
    pixels = measured or DEFAULT_SCALE
    return Loaded(
        network=network,
        input=ImageInput(
            height,
            width,
            CHANNELS,
            mean=tuple(-o / (255 * s) for s, o in zip(pixels.scale, pixels.offset, strict=True)),
            std=tuple(1 / (255 * s) for s in pixels.scale),
            layout="NHWC",
        ),
        head=UnitEmbedding(),
        preprocess=(Resize("linear_antialias", height=height, width=width),),
        assumptions=(_assumption(measured, path, known_sha256),),
    )


def _assumption(measured: PixelScale | None, path: Path, known_sha256: str) -> Assumption:
    """Return the pixel scale as a fact: from the file, from its publisher, or assumed."""
    if measured is not None:
        value = f"{measured.scale[0]:.6g} {measured.offset[0]:+.6g}"
        return Assumption(NAME, value, "file", "the model's own layers scale pixels")
    if hashlib.sha256(path.read_bytes()).hexdigest() == known_sha256:
        sentence = "pixels are scaled to -1 to 1, as the publisher of these weights does"
        return Assumption(NAME, "symmetric", "file", sentence)
    return Assumption(
        NAME,
        "symmetric",
        "default",
        "the file does not tell the scale of pixels that it was trained on; assumed: -1 to 1, as "
        "keras.applications.mobilenet_v2.preprocess_input makes it",
    )


def _owners(model: Any) -> list[Any] | None:
    """Return the models around the network, from the file's to the one that has its layers."""
    names = {layer.name for layer in model.layers}
    if names.issuperset(LANDMARKS):
        return [model]
    for layer in model.layers:
        inner = _owners(layer) if hasattr(layer, "layers") else None
        if inner is not None:
            return [model, *inner]
    return None


def _cut(owner: Any) -> Any:
    """Return the network from its first convolution to its pooled features."""
    keras = import_keras()
    features = keras.layers.GlobalAveragePooling2D()(owner.get_layer(LAST).output)
    return keras.Model(_network_input(owner), features)


def _network_input(owner: Any) -> Any:
    first = next(layer for layer in owner.layers if layer.name in FIRST)
    return first.input


def _pixel_scale(owners: Sequence[Any], path: Path) -> PixelScale | None:
    """Measure what the layers before the network do with pixels; None if they do nothing.

    Raises:
        CheckpointError: they do not scale each channel by itself, or they change the size.
    """
    answers = [_run_stages(owners, level) for level in LEVELS]
    values = np.stack([answer.reshape(-1, CHANNELS)[0] for answer in answers])
    scale = (values[-1] - values[0]) / (LEVELS[-1] - LEVELS[0])
    uniform = all(np.ptp(answer, axis=(0, 1, 2)).max() < 1e-4 for answer in answers)
    expected = values[0] + np.outer(LEVELS, scale)
    if not uniform or not np.allclose(values, expected, atol=1e-3) or (scale <= 0).any():
        raise CheckpointError(
            f"{path}: the layers before MobileNetV2 do more than scale pixels; "
            "needed: none, or layers like Rescaling and Normalization"
        )
    if np.allclose(scale, 1) and np.allclose(values[0], 0):
        return None
    return PixelScale(tuple(map(float, scale)), tuple(map(float, values[0])))


def _run_stages(owners: Sequence[Any], level: float) -> Any:
    """Run a picture of one level through the layers before the network; return (1, H, W, C)."""
    keras = import_keras()
    shape = owners[0].inputs[0].shape[1:]
    x = np.full((1, *shape), level, np.float32)
    for owner, target in _stages(owners):
        x = np.asarray(keras.Model(owner.inputs[0], target)(x, training=False))
    return x


def _stages(owners: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """Yield each model around the network and the tensor that it hands to what is inside it."""
    for outer, inner in pairwise(owners):
        (node,) = inner._inbound_nodes[-1:]
        yield outer, node.input_tensors[0]
    yield owners[-1], _network_input(owners[-1])
