"""A recipe: what is particular to one model. Adding a model is one file that defines RECIPE.

Importing a recipe file must be instant: frameworks are imported inside its functions.
"""

import hashlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal

import numpy as np

from convert.errors import RecipeError
from convert.metrics import METRICS
from convert.sources import AnySource
from runtime.artifact.manifest import MODEL_ID, NmsConfig, Step, Task

if TYPE_CHECKING:  # they need onnx, which a machine that only verifies artifacts does not have
    from convert.export.frameworks import Network
    from convert.export.numerics import Head, Input

MODELS = Path(__file__).parent / "models"
Kind = Literal["scene", "face", "voice", "walker", "sentence"]  # see convert.samples.media
SEARCH_SECONDS = 60.0  # of a search for what becomes integer, of most models
# of a blank sample's axes of any size, where 1 is too few: networks of sound take 25 ms or more
BLANK_SIZES: Mapping[str, int] = {"S": 16_000}


@dataclass(frozen=True, slots=True)
class Loaded:
    """A network with everything around it that makes it answer the task."""

    network: "Network"
    input: "Input"
    head: "Head"
    preprocess: tuple[Step, ...]
    labels: tuple[str, ...] = ()  # (): unknown; where the task has classes the user names them
    task: Task | None = None  # None: the recipe's; else what this checkpoint can answer
    suppression: NmsConfig | None = None  # of a detector
    licence: str | None = None  # None: the recipe's; else what the checkpoint states
    assets: Mapping[str, bytes] = field(default_factory=dict)  # further files, by role


def output_shapes(loaded: Loaded) -> list[tuple[int, ...]]:
    """Shapes of the network's outputs for one blank sample; free axes have 1, or BLANK_SIZES."""
    blank = [
        np.zeros([1, *map(_blank_size, tensor.shape[1:])], tensor.dtype)
        for tensor in loaded.input.tensors
    ]
    return [array.shape for array in loaded.network.forward(*loaded.input.apply(*blank))]


def _blank_size(axis: int | str) -> int:
    return axis if isinstance(axis, int) else BLANK_SIZES.get(axis, 1)


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far a quantized variant may be from the reference, by names of `convert.metrics`."""

    at_least: Mapping[str, float] = field(default_factory=dict)
    at_most: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in (*self.at_least, *self.at_most):
            if name not in METRICS:
                raise RecipeError(f"the tolerance names {name!r}; measured: {', '.join(METRICS)}")

    def violations(self, metrics: Mapping[str, float]) -> list[str]:
        """One sentence for each bound that is not kept; NaN keeps none.

        A bound on an output that this checkpoint does not have is not judged: class centres, say.
        """
        low = [
            _sentence(name, metrics[name], f"< {bound}")
            for name, bound in self.at_least.items()
            if name in metrics and not metrics[name] >= bound
        ]
        high = [
            _sentence(name, metrics[name], f"> {bound}")
            for name, bound in self.at_most.items()
            if name in metrics and not metrics[name] <= bound
        ]
        return low + high


def tightened(tolerance: Tolerance) -> Tolerance:
    """Half as far from equal answers as `tolerance` allows; of measures that end at 1 or 0."""
    return Tolerance(
        {name: (bound + 1) / 2 for name, bound in tolerance.at_least.items()},
        {name: bound / 2 for name, bound in tolerance.at_most.items()},
    )


def _sentence(name: str, found: float, beyond: str) -> str:
    if np.isnan(found):
        return f"{name} cannot be told on these inputs: give --calibration with such as it serves"
    return f"{name} {found:.4f} {beyond}"


@dataclass(frozen=True, slots=True)
class Recipe:
    """One model: how its checkpoint loads, what surrounds the network, what is good enough."""

    task: Task
    description: str  # one sentence, shown by `convert list` and by the API
    licence: str  # of the weights: SPDX id, or what their owner states
    load: Callable[[Path], Loaded]  # checkpoint file to network; raises CheckpointError
    tolerance: Tolerance
    media: Kind  # what it is asked about; drawings of that kind stand in for the user's
    seed: Callable[[], Loaded] | None = None  # untrained stand-in; None: only a checkpoint will do
    source: AnySource | None = None  # where pretrained weights are published
    drawn: Path | None = None  # weights in the repository, learnt from drawings
    reads: Callable[[], tuple[Path, ...]] = tuple  # files and folders beside the checkpoint
    default: bool = True  # False: converted only when named
    precision: Literal["auto", "float"] = "auto"  # "float": INT8 is tried only where asked for
    search_seconds: float = SEARCH_SECONDS  # of quantization, unless it may take its time


@dataclass(frozen=True, slots=True)
class RecipeFile:
    """A recipe and where it was read."""

    id: str  # the file's stem
    path: Path
    sha256: str
    recipe: Recipe


def known() -> list[str]:
    """Ids of the project's own recipes: the directory listing."""
    return sorted(path.stem for path in MODELS.glob("*.py") if path.stem != "__init__")


def defaults() -> list[RecipeFile]:
    """Return the recipes that are converted when none is named."""
    recipe_files = [find(model_id) for model_id in known()]
    return [recipe_file for recipe_file in recipe_files if recipe_file.recipe.default]


def find(model_id: str) -> RecipeFile:
    """One of the project's own recipes.

    Raises:
        RecipeError: no such recipe; the known ones are listed.
    """
    if model_id not in known():
        raise RecipeError(f"model {model_id!r} has no recipe; known: {', '.join(known())}")
    return read(MODELS / f"{model_id}.py")


def read(path: Path) -> RecipeFile:
    """Run a recipe file and take its RECIPE.

    Raises:
        RecipeError: missing, a name that is no model id, fails to run, or defines no Recipe.
    """
    if not MODEL_ID.fullmatch(path.stem) or path.suffix != ".py":
        raise RecipeError(
            f"{path}: the stem is the model id; allowed: {MODEL_ID.pattern}, ending .py"
        )
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RecipeError(f"{path}: no such recipe file ({error.strerror})") from error
    module = ModuleType(f"slipway_recipe_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses look their module up
    try:
        # what runs is what is hashed: an import would take a cached file of equal date and size
        exec(compile(content, path, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:  # whatever the user's file raises
        raise RecipeError(f"{path}: {type(error).__name__}: {error}") from error
    recipe = getattr(module, "RECIPE", None)
    if not isinstance(recipe, Recipe):
        raise RecipeError(
            f"{path}: RECIPE is {type(recipe).__name__}; needed: a convert.recipe.Recipe"
        )
    return RecipeFile(path.stem, path, hashlib.sha256(content).hexdigest(), recipe)
