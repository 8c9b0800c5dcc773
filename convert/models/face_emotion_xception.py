"""mini-XCEPTION face emotion: any Keras classifier of one grey or RGB image, of whatever size.

Source: oarriaga/face_classification; size, channels and class count come from the checkpoint.
"""

from pathlib import Path

from convert.architectures.xception import mini_xception
from convert.checkpoint.labels import FER2013
from convert.errors import CheckpointError
from convert.export.frameworks.keras_model import KerasNetwork, import_keras, load_keras
from convert.export.numerics import ImageInput, Probabilities
from convert.recipe import Loaded, Recipe, Tolerance
from convert.sources import Source
from convert.weights.seeded import sample_input, seed_keras
from runtime.artifact.manifest import Grayscale, Resize


def _load(path: Path) -> Loaded:
    network = KerasNetwork(load_keras(path), where=str(path))
    _check_classes(network, path)
    return _around(network)


def _check_classes(network: KerasNetwork, path: Path) -> None:
    shape = network.output_shape
    if len(shape) == 1 and network.output_width > 1:
        return
    what = "a map, as segmentation has it" if len(shape) > 1 else "one value"
    raise CheckpointError(
        f"{path}: the model gives {what}, of shape {shape}; "
        "needed: one value for each of at least two classes"
    )


def _seed() -> Loaded:
    import_keras()
    model = mini_xception(side=64, class_count=len(FER2013))
    loaded = _around(KerasNetwork(model))
    seed_keras(model, sample_input(loaded, media="face"))
    return loaded


def _around(network: KerasNetwork) -> Loaded:
    height, width, channels = network.input_shape
    # upstream: grey, cv2.resize, then (x / 255 - 0.5) * 2
    image = ImageInput(
        height, width, channels, mean=(0.5,) * channels, std=(0.5,) * channels, layout="NHWC"
    )
    grey = (Grayscale(),) if channels == 1 else ()
    return Loaded(
        network=network,
        input=image,
        head=Probabilities(softmax=not network.ends_in_softmax),
        preprocess=(*grey, Resize(height=height, width=width, interpolation="linear")),
        labels=FER2013 if network.output_width == len(FER2013) else (),
    )


RECIPE = Recipe(
    task="image-classification",
    description="Emotion of a face crop, seven classes (mini-XCEPTION trained on FER2013)",
    licence="MIT",
    load=_load,
    seed=_seed,
    tolerance=Tolerance(at_least={"top1_agreement": 0.99}, at_most={"probability_distance": 0.02}),
    media="face",
    source=Source(
        "https://raw.githubusercontent.com/oarriaga/face_classification/"
        "b861d21b0e76ca5514cdeb5b56a689b7318584f4/trained_models/emotion_models/"
        "fer2013_mini_XCEPTION.102-0.66.hdf5",
        sha256="59534287fdfb125e30a94400296c25ea9f5d706fca93dd8adbbbed916799ea0e",
        size_bytes=872_856,
        licence="MIT",
    ),
)
