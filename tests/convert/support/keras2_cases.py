"""Keras 2 files in the dialect that tf_keras writes, with weights of an equal Keras 3 model.

`python -m tests.convert.support.keras_cases keras2 DIRECTORY` compares both.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from convert.errors import CheckpointError
from convert.export.frameworks.keras_model import KerasNetwork, import_keras, load_keras
from convert.export.frameworks.keras_scale import scale_of_layers

Layer = dict[str, Any]
SIDE = 16


def layer(class_name: str, name: str, *inbound: Any, **config: Any) -> Layer:
    """Return a layer's entry; `inbound` are the nodes, of one tensor or several."""
    settings = {"name": name, "trainable": True, "dtype": "float32", **config}
    return {
        "class_name": class_name,
        "config": settings,
        "name": name,
        "inbound_nodes": list(inbound),
    }


def entry(name: str) -> Layer:
    shape = {"batch_input_shape": [None, SIDE, SIDE, 3], "sparse": False, "ragged": False}
    return layer("InputLayer", name, **shape)


def from_layer(name: str, node: int = 0, **arguments: Any) -> list[Any]:
    return [[name, node, 0, arguments]]


def functional(name: str, layers: list[Layer], first: str, last: str) -> dict[str, Any]:
    ends = {"input_layers": [[first, 0, 0]], "output_layers": [[last, 0, 0]]}
    return {"name": name, "trainable": True, "layers": layers, **ends}


def depthwise(name: str, *inbound: Any) -> Layer:
    return layer("DepthwiseConv2D", name, *inbound, kernel_size=[3, 3], groups=1, padding="same")


def separable(name: str, *inbound: Any) -> Layer:
    glorot = {"module": "keras.initializers", "class_name": "GlorotUniform", "config": {}}
    unused = {"kernel_initializer": glorot, "kernel_regularizer": None, "kernel_constraint": None}
    return layer(
        "SeparableConv2D", name, *inbound, filters=4, kernel_size=[3, 3], groups=1, **unused
    )


def base_layers() -> list[Layer]:
    return [
        entry("base_input"),
        layer(
            "Conv2D", "a/conv", from_layer("base_input"), filters=4, kernel_size=[3, 3], groups=1
        ),
        layer("BatchNormalization", "a/bn", from_layer("a/conv"), axis=[3], epsilon=1e-3),
        depthwise("dw", from_layer("a/bn")),
    ]


def tutorial() -> dict[str, Any]:
    """Augmentation, arithmetic, a nested base, a head: TensorFlow's tutorial of fine-tuning."""
    random = [
        layer("RandomFlip", "flip", rng_type="stateful", mode="horizontal", seed=None),
        layer("RandomZoom", "zoom", rng_type="stateful", height_factor=0.1, width_factor=None),
    ]
    augment = {"name": "augment", "layers": [entry("flip_input"), *random]}
    base = functional("base", base_layers(), "base_input", "dw")
    # one tensor stands without a list around it
    divided, shifted = ["augment", 1, 0, {"y": 127.5, "name": None}], ["div", 0, 0, {"y": 1.0}]
    layers = [
        entry("photo"),
        {**layer("Sequential", "augment", from_layer("photo")), "config": augment},
        layer("TFOpLambda", "div", divided, function="math.truediv"),
        layer("TFOpLambda", "sub", shifted, function="math.subtract"),
        {**layer("Functional", "base", from_layer("sub", training=False)), "config": base},
        layer("GlobalAveragePooling2D", "pool", from_layer("base", 1)),
        layer("Dense", "head", from_layer("pool"), units=3, activation="softmax"),
    ]
    return {
        "class_name": "Functional",
        "config": functional("model", layers, "photo", "head"),
    }


def caffe() -> dict[str, Any]:
    """Channels reversed, means subtracted, and the sum of two layers."""
    reverse = [{"class_name": "__ellipsis__"}, {"start": None, "stop": None, "step": -1}]
    bias = {"bias": [-103.939, -116.779, -123.68], "data_format": "NHWC"}
    layers = [
        entry("photo"),
        layer(
            "SlicingOpLambda",
            "flip",
            ["photo", 0, 0, {"slice_spec": reverse}],
            function="__operators__.getitem",
        ),
        layer("TFOpLambda", "means", ["flip", 0, 0, bias], function="nn.bias_add"),
        separable("sep", from_layer("means")),
        separable("sep2", from_layer("means")),
        layer(
            "TFOpLambda",
            "sum",
            ["sep", 0, 0, {"y": ["sep2", 0, 0], "name": None}],
            function="__operators__.add",
        ),
        layer("TFOpLambda", "mean", ["sum", 0, 0, {"axis": [1, 2]}], function="math.reduce_mean"),
        layer("Dense", "head", from_layer("mean"), units=3),
    ]
    return {"class_name": "Functional", "config": functional("model", layers, "photo", "head")}


def nested() -> dict[str, Any]:
    """Return a Sequential that begins with a base."""
    base = functional("base", base_layers(), "base_input", "dw")
    layers = [
        {"class_name": "Functional", "config": base},
        layer("GlobalAveragePooling2D", "pool"),
        layer("Dense", "head", units=3),
    ]
    return {"class_name": "Sequential", "config": {"name": "model", "layers": layers}}


def unknown() -> dict[str, Any]:
    config = caffe()
    config["config"]["layers"][2]["config"]["function"] = "py_function"
    return config


def own() -> dict[str, Any]:
    config = nested()
    config["config"]["layers"][1]["class_name"] = "MyPooling"
    return config


def half() -> dict[str, Any]:
    config = nested()
    policy = {"module": "keras.mixed_precision", "class_name": "Policy"}
    config["config"]["layers"][2]["config"]["dtype"] = {
        **policy,
        "config": {"name": "mixed_float16"},
    }
    return config


def equal_models() -> dict[str, tuple[Callable[[], dict[str, Any]], Any]]:
    """Return each form: its configuration in Keras 2, and an equal Keras 3 model."""
    keras = import_keras()
    from keras import layers

    def base() -> Any:
        tail = [layers.BatchNormalization(epsilon=1e-3), layers.DepthwiseConv2D(3, padding="same")]
        return keras.Sequential([keras.Input((SIDE, SIDE, 3)), layers.Conv2D(4, 3), *tail])

    photo = keras.Input((SIDE, SIDE, 3))
    pooled = layers.GlobalAveragePooling2D()
    scaled = base()(photo / 127.5 - 1)
    fine_tuned = keras.Model(photo, layers.Dense(3, activation="softmax")(pooled(scaled)))
    shifted = photo[..., ::-1] - keras.ops.array([103.939, 116.779, 123.68])
    sums = layers.SeparableConv2D(4, 3)(shifted) + layers.SeparableConv2D(4, 3)(shifted)
    caffes = keras.Model(photo, layers.Dense(3)(keras.ops.mean(sums, (1, 2))))
    plain = keras.Sequential([base(), pooled, layers.Dense(3)])
    return {
        "tutorial": (tutorial, fine_tuned),
        "caffe": (caffe, caffes),
        "nested": (nested, plain),
        "unknown": (unknown, caffes),
        "own": (own, plain),
        "half": (half, plain),
    }


def keras2(directory: str) -> dict[str, dict[str, Any]]:
    """Write each form as a Keras 2 file; compare what is read from it with the Keras 3 model."""
    import h5py

    batch = np.random.default_rng(3).uniform(0, 255, (4, SIDE, SIDE, 3)).astype(np.float32)
    reports: dict[str, dict[str, Any]] = {}
    for name, (configuration, model) in equal_models().items():
        rng = np.random.default_rng(5)
        model.set_weights([rng.uniform(0.05, 0.5, w.shape) for w in model.get_weights()])
        path = Path(directory) / f"{name}.h5"
        model.save(path)
        with h5py.File(path, "r+") as file:
            file.attrs["keras_version"] = "2.15.0"
            del file.attrs["model_config"]
            file.attrs["model_config"] = json.dumps(configuration())
        try:
            loaded = load_keras(path)
        except CheckpointError as error:
            reports[name] = {"refusal": str(error)}
            continue
        network = KerasNetwork(loaded)
        (answer,) = network.forward(batch)
        own_answer = np.asarray(model(batch, training=False))
        reports[name] = {
            "difference": float(np.abs(answer - own_answer).max() / np.abs(own_answer).max()),
            "spread": float(own_answer.std(axis=0).max()),
            "scale": scale_of_layers(loaded),
            "exported": len(network.export().graph.input),
        }
    return reports
