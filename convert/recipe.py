"""A recipe: the facts of one model. Adding a model is one file that defines RECIPE.

Recipe files import from `convert.authoring`. Importing one must be instant, so it imports
frameworks inside its functions.
"""

import ast
import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from convert.errors import RecipeError
from convert.metrics import METRICS
from convert.sources import AnySource, PackageSource
from runtime.artifact.manifest import MODEL_ID, Assumption, NmsConfig, Step, Task

if TYPE_CHECKING:  # they need onnx, which a machine that only verifies artifacts does not have
    from convert.export.frameworks import Network
    from convert.export.numerics import Head, Input

MODELS = Path(__file__).parent / "models"
MediaKind = Literal["scene", "face", "voice", "walker", "sentence"]  # see convert.samples.media
SEARCH_SECONDS = 60.0  # default limit of the search for an INT8 graph
# size of a blank sample's free axes, if 1 is too small: audio networks need 25 ms or more
BLANK_SIZES: Mapping[str, int] = {"S": 16_000}
RENAMED_FIELDS: Mapping[str, str] = {"drawn": "synthetic_weights"}  # of Recipe, in older files


@dataclass(frozen=True, slots=True)
class Loaded:
    """A network, and what surrounds it so that it answers the task."""

    network: "Network"  # in its own framework, which is the reference
    input: "Input"  # numerics from decoded media to the network's inputs
    head: "Head"  # numerics from the network's outputs to the task's
    preprocess: tuple[Step, ...]  # geometric steps that the runtime performs before the graph
    labels: tuple[str, ...] = ()  # (): the checkpoint names none; a task with classes needs them
    task: Task | None = None  # None: the recipe's; else what this checkpoint can answer
    suppression: NmsConfig | None = None  # of a detector
    licence: str | None = None  # None: the recipe's; else what the checkpoint states
    assets: Mapping[str, bytes] = field(default_factory=dict)  # further files, by role
    assumptions: tuple[Assumption, ...] = ()  # facts that the weights do not hold

    def __post_init__(self) -> None:
        if not isinstance(self.preprocess, tuple):
            name = type(self.preprocess).__name__
            raise RecipeError(
                f"preprocess is {name}; needed: a tuple of steps, as in (Resize(...),)"
            )


def output_shapes(loaded: Loaded) -> list[tuple[int, ...]]:
    """Run one blank sample and return the shapes of the network's outputs.

    Free axes of the sample have size 1, or their size in BLANK_SIZES.
    """
    blank = [
        np.zeros([1, *map(_blank_size, tensor.shape[1:])], tensor.dtype)
        for tensor in loaded.input.tensors
    ]
    return [array.shape for array in loaded.network.forward(*loaded.input.apply(*blank))]


def _blank_size(axis: int | str) -> int:
    return axis if isinstance(axis, int) else BLANK_SIZES.get(axis, 1)


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Bounds on how far a quantized variant may be from the reference, by name of the metric.

    `convert.metrics` defines the metrics. Where the test samples are enough, the bounds of the task
    decide in place of those on the same outputs (`convert.gate.rule`), unless these are strict.

    Raises:
        RecipeError: a metric that does not exist.
    """

    at_least: Mapping[str, float] = field(default_factory=dict)
    at_most: Mapping[str, float] = field(default_factory=dict)
    strict: bool = False  # True: these bounds decide alone, however many samples there are

    def __post_init__(self) -> None:
        for name in (*self.at_least, *self.at_most):
            if name not in METRICS:
                raise RecipeError(f"the tolerance names {name!r}; measured: {', '.join(METRICS)}")

    def violations(self, metrics: Mapping[str, float]) -> list[str]:
        """Return one sentence for each bound that `metrics` violates; NaN violates any bound.

        A bound on a metric that is not in `metrics` is skipped: a checkpoint without class centers
        has no probabilities, say.
        """
        too_low = [
            _violation(name, metrics[name], f"< {bound:.4g}")
            for name, bound in self.at_least.items()
            if name in metrics and not metrics[name] >= bound
        ]
        too_high = [
            _violation(name, metrics[name], f"> {bound:.4g}")
            for name, bound in self.at_most.items()
            if name in metrics and not metrics[name] <= bound
        ]
        return too_low + too_high


def tighten(tolerance: Tolerance) -> Tolerance:
    """Return the tolerance with each bound halfway to the perfect value.

    The perfect value is 1 for `at_least` and 0 for `at_most`.
    """
    return Tolerance(
        {name: (bound + 1) / 2 for name, bound in tolerance.at_least.items()},
        {name: bound / 2 for name, bound in tolerance.at_most.items()},
        tolerance.strict,
    )


def _violation(name: str, value: float, relation: str) -> str:
    if np.isnan(value):
        return (
            f"{name} could not be measured on these samples; "
            "pass --calibration DIR with media like those you will serve"
        )
    return f"{name} {value:.4f} {relation}"


@dataclass(frozen=True, slots=True)
class Recipe:
    """One model: how its checkpoint loads, and how close INT8 must be to it."""

    task: Task
    description: str  # one sentence, shown by `convert list` and by the API
    licence: str  # of the weights: an SPDX id, or what their owner states
    load: Callable[..., Loaded]  # reads a checkpoint; raises CheckpointError
    tolerance: Tolerance
    media: MediaKind  # of the samples; synthetic ones stand in for --calibration
    seed: Callable[[], Loaded] | None = None  # makes untrained weights; None: only a checkpoint
    package: PackageSource | None = None  # a Python package that holds pretrained weights
    source: AnySource | None = None  # where else they are published, for a machine without it
    synthetic_weights: Path | None = None  # in the repository, trained on synthetic data
    reads: Callable[[], tuple[Path, ...]] = tuple  # further files and folders that `load` reads
    default: bool = True  # False: converted only when the user names it
    precision: Literal["auto", "float"] = "auto"  # "float": INT8 only if --precision asks for it
    search_seconds: float = SEARCH_SECONDS  # limit of the search, unless --search is thorough
    # options of the command line that `load` takes as keyword arguments, text or None each
    options: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, allowed in (("task", get_args(Task)), ("media", get_args(MediaKind))):
            value = getattr(self, name)
            if value not in allowed:
                raise RecipeError(f"{name} is {value!r}; allowed: {', '.join(allowed)}")


@dataclass(frozen=True, slots=True)
class RecipeFile:
    """A recipe and the file that it was read from."""

    id: str  # the file's stem
    path: Path
    sha256: str
    recipe: Recipe


def model_ids() -> list[str]:
    """Return the ids of the project's own models: one per file in convert/models."""
    return sorted(path.stem for path in MODELS.glob("*.py") if path.stem != "__init__")


def default_recipes() -> list[RecipeFile]:
    """Read the recipes that are converted if the user names no model."""
    recipe_files = [find(model_id) for model_id in model_ids()]
    return [recipe_file for recipe_file in recipe_files if recipe_file.recipe.default]


def find(model_id: str) -> RecipeFile:
    """Read the recipe of one of the project's own models.

    Raises:
        RecipeError: there is no such model; the message lists those that there are.
    """
    if model_id not in model_ids():
        raise RecipeError(f"model {model_id!r} has no recipe; known: {', '.join(model_ids())}")
    return read(MODELS / f"{model_id}.py")


def read(path: Path) -> RecipeFile:
    """Run a recipe file and return its RECIPE.

    Raises:
        RecipeError: there is no such file, its name is no model id, it fails to run, it imports a
            module that has moved, or it defines no Recipe.
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
        _check_imports(content)
        # not an import: Python would run a cached file of equal date and size, not what is hashed
        exec(compile(content, path, "exec"), module.__dict__)
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from error
    except (Exception, SystemExit) as error:  # whatever the user's file raises
        advice = _advice(error, content)
        raise RecipeError(f"{path}: {type(error).__name__}: {error}{advice}") from error
    recipe = getattr(module, "RECIPE", None)
    if not isinstance(recipe, Recipe):
        raise RecipeError(
            f"{path}: RECIPE is {type(recipe).__name__}; needed: a convert.recipe.Recipe"
        )
    return RecipeFile(path.stem, path, hashlib.sha256(content).hexdigest(), recipe)


def _check_imports(content: bytes) -> None:
    """Check that the modules of this project that a file imports exist, also inside functions.

    An import inside `load` would otherwise fail minutes later, without the advice.

    Raises:
        RecipeError: one does not exist; SyntaxError: the file is no Python.
    """
    for module, _ in _project_imports(content):
        if not _exists(module):
            raise RecipeError(f"no module {module!r}{_import_advice(content)}")


def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError as error:
        # a missing parent is named; else a package that the parent imports is not installed
        return not f"{module}.".startswith(f"{error.name}.")


def _advice(error: BaseException, content: bytes) -> str:
    """Return what to write instead, if the file was written for an older layout; else ""."""
    if isinstance(error, ImportError) and (error.name or "").startswith(("convert.", "runtime.")):
        return _import_advice(content)
    if isinstance(error, ModuleNotFoundError):
        return missing_module_advice(error)
    if isinstance(error, TypeError) and "argument 'package'" in str(error):
        return "; a package has a field of its own: Recipe.package = PackageSource(...)"
    for old, new in RENAMED_FIELDS.items():
        if isinstance(error, TypeError) and f"unexpected keyword argument '{old}'" in str(error):
            return f"; the field of Recipe is now called {new!r}"
    return ""


def missing_module_advice(error: BaseException) -> str:
    """Return how a recipe imports a module of the user's, if the error is that it is missing."""
    if not isinstance(error, ModuleNotFoundError):
        return ""
    return "; for a module of your own: PYTHONPATH=<its folder> before the command"


def _import_advice(content: bytes) -> str:
    names = ", ".join(sorted({name for _, name in _project_imports(content)}))
    return (
        f"; a recipe imports from one module: `from convert.authoring import {names}` "
        "(convert/README.md lists its names)"
    )


def _project_imports(content: bytes) -> Iterator[tuple[str, str]]:
    """Yield module and name of each `from convert... import name`, and of runtime; no networks."""
    for node in ast.walk(ast.parse(content)):
        if isinstance(node, ast.ImportFrom) and node.module:
            package, _, rest = node.module.partition(".")
            if package in ("convert", "runtime") and not rest.startswith("architectures"):
                yield from ((node.module, alias.name) for alias in node.names)
