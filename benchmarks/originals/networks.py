"""Load a model in its original framework, and its engines as functions of arrays.

This runs in the conversion's environment alone, and the rest of the benchmarks in that of the
server: so the frameworks and the recipes are imported by name, when they are asked for.
"""

import importlib
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.generic]
Forward = Callable[..., tuple[Array, ...]]  # the network's inputs to its outputs
TORCH, KERAS = ("torch", "transformers"), ("keras",)
Framework = Literal["torch", "keras"]
PLAIN: Mapping[Framework, str] = {"torch": "torch", "keras": "keras"}  # names of the engines
COMPILED: Mapping[Framework, str] = {"torch": "torch.compile", "keras": "keras tf.function"}


@dataclass(frozen=True, slots=True)
class Original:
    """A network in its framework."""

    framework: str
    version: str
    origin: str  # of the weights: pretrained, synthetic or seeded
    loaded: Any  # convert.recipe.Loaded
    import_seconds: float
    load_seconds: float

    def arrays(self, feeds: Mapping[str, Array]) -> tuple[Array, ...]:
        """Return the inputs of the network for the inputs of the packaged graph."""
        tensors = self.loaded.input.tensors
        arrays: tuple[Array, ...] = self.loaded.input.apply(*(feeds[one.name] for one in tensors))
        return arrays

    def answer(self, outputs: tuple[Array, ...]) -> Mapping[str, Array]:
        """Return the outputs as the packaged graph names them."""
        answer: Mapping[str, Array] = self.loaded.head.apply(*outputs)
        return answer


def load_original(model: str, origin: str) -> Original | None:
    """Load a model's network with its weights; None if its framework is none of torch and Keras.

    A checkpoint of another kind (ONNX, TFLite) is replaced by the recipe's seeded network: it costs
    the same, and its answers show that the weights are others.

    Args:
        model: id of a recipe.
        origin: of the artifact's weights.
    """
    recipe_file = importlib.import_module("convert.recipe").find(model)
    loading = importlib.import_module("convert.pipeline.load")
    resolving = importlib.import_module("convert.weights.resolve")
    modes = ("seeded",) if origin == "seeded" else ("auto", "seeded")
    framework_s = 0.0
    for mode in modes:
        if mode == "seeded" and recipe_file.recipe.seed is None:
            continue
        weights = resolving.find(recipe_file, mode, None)
        framework_s += _import_framework(recipe_file, weights)
        start = time.perf_counter()
        loaded = loading.load_network(recipe_file, weights)
        load_s = time.perf_counter() - start
        framework = loaded.network.framework
        if framework in (*TORCH, *KERAS):
            version = importlib.import_module(
                "torch" if framework in TORCH else "keras"
            ).__version__
            return Original(framework, version, weights.origin, loaded, framework_s, load_s)
    return None


def _import_framework(recipe_file: Any, weights: Any) -> float:
    """Import the framework of a checkpoint and return the seconds.

    It is torch for ONNX and TFLite files too, in whose place the recipe's network is loaded.
    """
    name = str(weights.path or "")
    start = time.perf_counter()
    if name.endswith((".h5", ".hdf5", ".keras")):
        importlib.import_module("convert.export.frameworks.keras_model").import_keras()
    else:
        importlib.import_module("torch")
        if "wav2vec2" in recipe_file.id:
            importlib.import_module("convert.export.frameworks.hugging_face").import_transformers()
    return time.perf_counter() - start


def set_keras_threads(threads: int) -> None:
    """Let TensorFlow use a number of threads, which it takes once: before its import."""
    os.environ |= {"TF_NUM_INTRAOP_THREADS": str(threads), "TF_NUM_INTEROP_THREADS": "1"}


def set_torch_threads(threads: int) -> None:
    """Let torch use a number of threads."""
    importlib.import_module("torch").set_num_threads(threads)


def eager(original: Original) -> Forward:
    """Return the network as the framework runs it without compiling."""
    forward: Forward = original.loaded.network.forward
    return forward


def framework_of(original: Original) -> Framework:
    """Return the framework that runs a network."""
    return "keras" if original.framework in KERAS else "torch"


def compiled(original: Original) -> Forward:
    """Return the network as its framework compiles it, when it first runs."""
    if original.framework in TORCH:
        torch = importlib.import_module("torch")
        network = original.loaded.network
        twin = object.__new__(type(network))
        twin.__dict__.update(network.__dict__)
        twin._module = torch.compile(network._module)
        forward: Forward = twin.forward
        return forward
    tensorflow = importlib.import_module("tensorflow")
    function = tensorflow.function(original.loaded.network._call)
    return lambda *arrays: (function(tensorflow.constant(arrays[0])).numpy(),)
