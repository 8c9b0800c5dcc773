"""Everything that a recipe file imports: `from convert.authoring import Loaded, Recipe, ...`.

One module with stable names, so that the folders behind it are free to move. Importing it loads
nothing else: each name is imported from its own module when it is first used, so a recipe file
pays only for what it names. convert/README.md explains the names, in groups.
"""

import ast
import importlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

# The one list of where each name is defined: type checkers read it, and so does `__getattr__`.
if TYPE_CHECKING:
    from convert.checkpoint import (
        detect_kind,
        labels_in,
        load_strictly,
        read_checkpoint,
        read_labels,
        read_state_dict,
        state_dict_in,
    )
    from convert.checkpoint.arch_names import arch_names
    from convert.checkpoint.backbone import Backbone, Layout, find_backbone, linear_head, numbered
    from convert.checkpoint.class_centers import ClassCenters, find_embedder, split_head
    from convert.checkpoint.class_names import matching_labels
    from convert.checkpoint.folder import read_folder_settings, read_folder_weights
    from convert.checkpoint.image_settings import ImageSettings, image_settings
    from convert.checkpoint.keras_file import keras_weight_shapes
    from convert.checkpoint.keys import matches
    from convert.checkpoint.labels import FER2013, fer2013_labels, ordered_labels
    from convert.checkpoint.settings import setting_values
    from convert.checkpoint.ultralytics import read_ultralytics
    from convert.errors import CheckpointError, LabelsError, RecipeError
    from convert.export.frameworks import Network
    from convert.export.frameworks.hugging_face import TransformersNetwork, import_transformers
    from convert.export.frameworks.keras_model import KerasNetwork, import_keras, load_keras
    from convert.export.frameworks.keras_scale import scale_of_layers
    from convert.export.frameworks.onnx_graph import OnnxNetwork
    from convert.export.frameworks.sentence_encoder import (
        SentenceEncoder,
        build_bert,
        read_sentence_encoder,
        token_network,
    )
    from convert.export.frameworks.tflite_file import TfliteNetwork
    from convert.export.frameworks.torch_module import TorchNetwork
    from convert.export.numerics import (
        BlazeFaces,
        Boxes,
        Faces,
        FramesInput,
        Head,
        ImageInput,
        Input,
        Probabilities,
        StretchedAlpha,
        Tokens,
        UnitEmbedding,
        WaveformInput,
    )
    from convert.export.numerics.cosine import CosineProbabilities
    from convert.export.numerics.pixel_scale import parse_scale
    from convert.gait.condition_embeddings import condition_assets, condition_sources
    from convert.recipe import Loaded, Recipe, Tolerance
    from convert.samples.procedural.sentences import synthetic_words
    from convert.samples.walkers import FRAMES as GAIT_FRAMES
    from convert.samples.walkers import LABELS as GAIT_LABELS
    from convert.samples.walkers import SIDE as GAIT_SIDE
    from convert.sources import HubSource, PackageSource, Source
    from convert.weights.seeded import sample_input, seed_keras, seed_torch
    from runtime.artifact.manifest import (
        VOCABULARY,
        Assumption,
        CenterCrop,
        Grayscale,
        Letterbox,
        NmsConfig,
        Resample,
        Resize,
        SampleFrames,
        Tokenize,
    )
    from runtime.errors import one_line

__all__ = [
    "FER2013",
    "GAIT_FRAMES",
    "GAIT_LABELS",
    "GAIT_SIDE",
    "VOCABULARY",
    "Assumption",
    "Backbone",
    "BlazeFaces",
    "Boxes",
    "CenterCrop",
    "CheckpointError",
    "ClassCenters",
    "CosineProbabilities",
    "Faces",
    "FramesInput",
    "Grayscale",
    "Head",
    "HubSource",
    "ImageInput",
    "ImageSettings",
    "Input",
    "KerasNetwork",
    "LabelsError",
    "Layout",
    "Letterbox",
    "Loaded",
    "Network",
    "NmsConfig",
    "OnnxNetwork",
    "PackageSource",
    "Probabilities",
    "Recipe",
    "RecipeError",
    "Resample",
    "Resize",
    "SampleFrames",
    "SentenceEncoder",
    "Source",
    "StretchedAlpha",
    "TfliteNetwork",
    "Tokenize",
    "Tokens",
    "Tolerance",
    "TorchNetwork",
    "TransformersNetwork",
    "UnitEmbedding",
    "WaveformInput",
    "arch_names",
    "build_bert",
    "condition_assets",
    "condition_sources",
    "detect_kind",
    "fer2013_labels",
    "find_backbone",
    "find_embedder",
    "image_settings",
    "import_keras",
    "import_transformers",
    "keras_weight_shapes",
    "labels_in",
    "linear_head",
    "load_keras",
    "load_strictly",
    "matches",
    "matching_labels",
    "numbered",
    "one_line",
    "ordered_labels",
    "parse_scale",
    "read_checkpoint",
    "read_folder_settings",
    "read_folder_weights",
    "read_labels",
    "read_sentence_encoder",
    "read_state_dict",
    "read_ultralytics",
    "sample_input",
    "scale_of_layers",
    "seed_keras",
    "seed_torch",
    "setting_values",
    "split_head",
    "state_dict_in",
    "synthetic_words",
    "token_network",
]

if not TYPE_CHECKING:  # a type checker would take any name, also a misspelt one, to exist

    def __getattr__(name: str) -> object:
        """Import a name from the module that defines it; Python calls this at its first use."""
        origin = _origins().get(name)
        if origin is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module, original_name = origin
        value = getattr(importlib.import_module(module), original_name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """Return the public names, imported yet or not."""
    return sorted(__all__)


@cache
def _origins() -> dict[str, tuple[str, str]]:
    """Read the module and the name there of each public name, from the imports above."""
    tree = ast.parse(Path(__file__).read_bytes())
    return {
        alias.asname or alias.name: (node.module or "", alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if (alias.asname or alias.name) in __all__
    }
