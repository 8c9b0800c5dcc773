"""Which weights a conversion uses: the file given, placed or published, or a stand-in."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from convert.checkpoint.labels import ENDINGS
from convert.errors import CheckpointError, LabelsError, SourceError
from convert.recipe import RecipeFile
from convert.sources import AnySource, HubSource, Source
from convert.weights.download import Fetched

WeightsMode = Literal["pretrained", "seeded", "auto"]
CHECKPOINTS = Path("checkpoints")
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
HUB = "hf:"  # --checkpoint hf:owner/name[@revision]
Fetch = Callable[[AnySource], Fetched]  # raises SourceError, CheckpointError
LABELS = tuple(f".labels{ending}" for ending in ENDINGS)
BESIDE = (*LABELS, ".conditions.json", ".onnx.data")  # what may be placed beside a checkpoint


@dataclass(frozen=True, slots=True)
class ResolvedWeights:
    """Where the weights of one conversion come from."""

    origin: Literal["pretrained", "seeded", "synthetic"]
    path: Path | None  # a file, or a directory as Hugging Face has them; None: seeded
    labels: Path | None = None  # class names of the user's; None: the checkpoint's or the recipe's
    address: str | None = None  # where it was published, if it was fetched
    fallback_reason: str | None = None  # why seeded weights stand in for published ones


def find(
    recipe_file: RecipeFile,
    mode: WeightsMode,
    checkpoint: Path | None,
    labels: Path | None = None,
    fetch: Fetch | None = None,
) -> ResolvedWeights:
    """Resolve the weights, without reading them.

    Args:
        recipe_file: names the model, its source and whether it can be seeded.
        mode: "pretrained" wants a checkpoint, "seeded" none, "auto" one where there is one.
        checkpoint: given on the command line, a path or HUB with a repository; then
            CHECKPOINTS/<model>.*, the directory CHECKPOINTS/<model> and the recipe's source are
            not looked at.
        labels: given on the command line; else <checkpoint's stem>.labels.txt or .labels.json
            beside the checkpoint counts. Untrained weights have labels of their own.
        fetch: brings published weights; None: only what the user gave or placed counts.

    Raises:
        CheckpointError: none found where one is needed, several, or other than those published.
        LabelsError: two labels files beside the checkpoint.
    """
    if mode == "seeded":
        if checkpoint is not None:
            raise CheckpointError(
                f"--checkpoint {checkpoint} and --weights seeded exclude each other"
            )
        return _seeded(recipe_file, labels)
    if checkpoint is not None and str(checkpoint).startswith(HUB):
        return _fetched(_of_hub(recipe_file, str(checkpoint)), labels, fetch)
    path = checkpoint or _placed(recipe_file.id)
    if path is not None:
        return ResolvedWeights("pretrained", path, labels or _labels_beside(path))
    synthetic = recipe_file.recipe.synthetic_weights
    if synthetic is not None and synthetic.is_file():
        return ResolvedWeights("synthetic", synthetic, labels)
    return _published(recipe_file, mode, labels, fetch)


def source_to_fetch(
    recipe_file: RecipeFile, mode: WeightsMode, checkpoint: Path | None
) -> AnySource | None:
    """The source that `find` would turn to; None: it has no need of one."""
    if mode == "seeded" or checkpoint is not None or any(_candidates(recipe_file.id)):
        return None
    return recipe_file.recipe.source


def _published(
    recipe_file: RecipeFile, mode: WeightsMode, labels: Path | None, fetch: Fetch | None
) -> ResolvedWeights:
    """The recipe's source, or stand-ins where it cannot be reached and they are allowed.

    Files that are not those published are refused in every mode: that is no lack of a network.
    """
    source, may_seed = recipe_file.recipe.source, recipe_file.recipe.seed is not None
    reason = None
    if source is not None:
        try:
            return _fetched(source, labels, fetch)
        except SourceError as error:
            reason = str(error)
    if mode == "auto" and may_seed:
        return replace(_seeded(recipe_file, labels), fallback_reason=reason if fetch else None)
    hint = ""
    if source is not None and reason is not None:
        why = reason.removeprefix(f"{source.address}: ")
        hint = f" Published at {source.address} ({source.licence}): {why}"
    raise CheckpointError(
        f"{recipe_file.id}: no weights. Place them as {CHECKPOINTS}/{recipe_file.id}.pth "
        f"(.h5, .keras, .onnx: the kind is read from the content) or give --checkpoint PATH.{hint}"
    )


def _fetched(source: AnySource, labels: Path | None, fetch: Fetch | None) -> ResolvedWeights:
    if fetch is None:
        raise SourceError("not fetched here")
    fetched = fetch(source)
    return ResolvedWeights("pretrained", fetched.path, labels, fetched.address)


def _of_hub(recipe_file: RecipeFile, given: str) -> HubSource:
    """The repository that a command line names, with the files that this recipe reads."""
    source = recipe_file.recipe.source
    if source is None or isinstance(source, Source):
        raise CheckpointError(f"{recipe_file.id}: reads no repository; --checkpoint takes a PATH")
    repository, _, revision = given.removeprefix(HUB).partition("@")
    if not REPOSITORY.fullmatch(repository):
        raise CheckpointError(f"--checkpoint {given}: allowed: {HUB}owner/name[@revision]")
    return HubSource(
        repository,
        licence="see its page",
        files=source.files,
        one_of=source.one_of,
        optional=source.optional,
        revision=revision or None,
    )


def _placed(model_id: str) -> Path | None:
    placed = _candidates(model_id)
    if len(placed) > 1:
        names = ", ".join(str(path) for path in placed)
        raise CheckpointError(f"{model_id}: several checkpoints: {names}; give --checkpoint PATH")
    return placed[0] if placed else None


def _candidates(model_id: str) -> list[Path]:
    placed = [
        path for path in sorted(CHECKPOINTS.glob(f"{model_id}.*")) if not path.name.endswith(BESIDE)
    ]
    directory = CHECKPOINTS / model_id
    return [*placed, directory] if directory.is_dir() else placed


def _labels_beside(checkpoint: Path) -> Path | None:
    stem = checkpoint.name if checkpoint.is_dir() else checkpoint.stem
    beside = [checkpoint.with_name(stem + ending) for ending in LABELS]
    found = [path for path in beside if path.is_file()]
    if len(found) > 1:
        names = " and ".join(str(path) for path in found)
        raise LabelsError(f"{names}: two labels files; keep one, or give --labels FILE")
    return found[0] if found else None


def _seeded(recipe_file: RecipeFile, labels: Path | None) -> ResolvedWeights:
    if recipe_file.recipe.seed is None:
        raise CheckpointError(
            f"{recipe_file.id}: the recipe has no seeded weights; give --checkpoint"
        )
    return ResolvedWeights("seeded", None, labels)
