"""A conversion as the user asks for it, what it reads, and its outcome."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from convert.pipeline.similarity.labelled_pairs import Pairs
from convert.quantize.choose import RequestedPrecision
from convert.quantize.search.candidates import Effort
from convert.recipe import RecipeFile
from convert.samples.division import JUDGED_TASKS
from convert.samples.sets import MediaFiles
from convert.weights.resolve import ResolvedWeights, WeightsMode
from runtime.artifact.manifest import Manifest

LABELLED_TASKS = (*JUDGED_TASKS, "image-segmentation")

Status = Literal["packaged", "unchanged", "refused"]


@dataclass(frozen=True, slots=True)
class Job:
    """One conversion, as the user asks for it."""

    recipe_file: RecipeFile
    out: Path
    weights: WeightsMode = "pretrained"
    checkpoint: Path | None = None
    calibration: Path | None = None
    precision: RequestedPrecision = "auto"
    search: Effort = "default"
    variants: tuple[str, ...] = ()  # besides those for CPUs: "fp16"
    labels: Path | None = None
    pairs: Path | None = None  # labelled pairs of images, for a scale of similarity
    labelled: Path | None = None  # labelled media, which judge INT8; also to try scales of pixels
    options: Mapping[str, str] = field(default_factory=dict)  # facts for `Recipe.load`, by name


@dataclass(frozen=True, slots=True)
class Inputs:
    """Everything that one conversion reads, resolved and hashed once.

    The parent process sends it to the process of the conversion. That process reads the recipe
    again, because the recipe's functions cannot be pickled, and resolves nothing else twice.
    """

    model_id: str
    recipe_path: Path
    recipe_sha256: str
    out: Path
    weights: ResolvedWeights
    checkpoint_sha256: str | None  # of the file, or of all files of the folder; None: seeded
    media: MediaFiles | None  # calibration files; None: synthetic samples
    pairs: Pairs | None
    labelled: MediaFiles | None  # with labels: see `convert.gate.labelled`
    precision: RequestedPrecision
    search: Effort
    variants: tuple[str, ...]
    options: Mapping[str, str]
    key: str  # hash of all of the above, the project's code and its tools


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of one conversion: a row of the closing table."""

    model: str
    status: Status
    message: str  # the artifact's directory, or the reason of the refusal
    seconds: float
    manifest: Manifest | None = None
