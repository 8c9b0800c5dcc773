"""Resolve the weights of a conversion: the user's, installed or published ones, or seeded ones."""

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
from convert.weights.installed import find_installed, is_installed

WeightsMode = Literal["pretrained", "seeded", "auto"]
CHECKPOINTS = Path("checkpoints")
REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")
HUB = "hf:"  # as in --checkpoint hf:owner/name[@revision]
Fetch = Callable[[AnySource], Fetched]  # downloads; raises SourceError, CheckpointError
LABEL_ENDINGS = tuple(f".labels{ending}" for ending in ENDINGS)
# endings of files that belong to a checkpoint and are none themselves
COMPANION_ENDINGS = (*LABEL_ENDINGS, ".conditions.json", ".onnx.data")


@dataclass(frozen=True, slots=True)
class ResolvedWeights:
    """The weights of one conversion and where they come from."""

    origin: Literal["pretrained", "seeded", "synthetic"]  # synthetic: trained on synthetic data
    path: Path | None  # a file, or the directory of a Hugging Face repository; None: seeded
    labels: Path | None = None  # the user's class names; None: the checkpoint's or the recipe's
    address: str | None = None  # where they were published; None: a file of the user's
    licence: str | None = None  # of an installed package's; None: the recipe's
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
        mode: "pretrained" requires a checkpoint, "seeded" uses none, "auto" uses one if it can.
        checkpoint: --checkpoint: a path, or HUB and a repository. None uses the first of these
            that exists: CHECKPOINTS/<model>.* or the directory CHECKPOINTS/<model>, the recipe's
            synthetic weights, the recipe's installed package, the recipe's source.
        labels: --labels. None uses <stem>.labels.txt or .labels.json next to a checkpoint of the
            user's; all other weights use the labels of the file or of the recipe.
        fetch: downloads published weights; None: only files on this machine are used.

    Raises:
        CheckpointError: `mode` requires a checkpoint and there is none; there are several; or the
            download or the package's file is not what was published.
        LabelsError: there are two labels files next to the checkpoint.
        SourceError: `checkpoint` names a repository that cannot be reached, or `fetch` is None.
    """
    if mode == "seeded":
        if checkpoint is not None:
            raise CheckpointError(
                f"--checkpoint {checkpoint} and --weights seeded exclude each other"
            )
        return _seeded(recipe_file, labels)
    if checkpoint is not None and str(checkpoint).startswith(HUB):
        return _download(_hub_source(recipe_file, str(checkpoint)), labels, fetch)
    path = checkpoint or _local_checkpoint(recipe_file.id)
    if path is not None:
        return ResolvedWeights("pretrained", path, labels or _labels_next_to(path))
    synthetic = recipe_file.recipe.synthetic_weights
    if synthetic is not None and synthetic.is_file():
        return ResolvedWeights("synthetic", synthetic, labels)
    package = recipe_file.recipe.package
    installed = find_installed(package) if package is not None else None
    if package is not None and installed is not None:
        return ResolvedWeights("pretrained", installed, labels, package.address, package.licence)
    return _published(recipe_file, mode, labels, fetch)


def source_to_fetch(
    recipe_file: RecipeFile, mode: WeightsMode, checkpoint: Path | None
) -> AnySource | None:
    """Return the recipe's source if `find` would use it, in the cache or not; else None.

    None does not mean that `find` fetches nothing: a repository that `checkpoint` names is fetched,
    and is not looked at here.
    """
    if mode == "seeded" or checkpoint is not None or any(_local_checkpoints(recipe_file.id)):
        return None
    package = recipe_file.recipe.package
    if package is not None and is_installed(package):
        return None
    return recipe_file.recipe.source


def _published(
    recipe_file: RecipeFile, mode: WeightsMode, labels: Path | None, fetch: Fetch | None
) -> ResolvedWeights:
    """Use the recipe's source, or seeded weights in mode "auto" if that is absent or unreachable.

    A download that is not what was published is refused in every mode: seeded weights replace
    weights that are missing, never weights that somebody changed.

    Raises:
        CheckpointError: neither is possible; the message says where to place a checkpoint.
    """
    source, may_seed = recipe_file.recipe.source, recipe_file.recipe.seed is not None
    reason = None
    if source is not None:
        try:
            return _download(source, labels, fetch)
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


def _download(source: AnySource, labels: Path | None, fetch: Fetch | None) -> ResolvedWeights:
    """Fetch a source.

    Raises:
        SourceError: `fetch` is None, or the source cannot be reached.
        CheckpointError: the download is not what was published.
    """
    if fetch is None:
        raise SourceError("not fetched here")
    fetched = fetch(source)
    return ResolvedWeights("pretrained", fetched.path, labels, fetched.address)


def _hub_source(recipe_file: RecipeFile, checkpoint: str) -> HubSource:
    """Return the repository that --checkpoint names, with the files that this recipe reads.

    Raises:
        CheckpointError: the recipe reads no repository, or `checkpoint` names none.
    """
    source = recipe_file.recipe.source
    if source is None or isinstance(source, Source):
        raise CheckpointError(f"{recipe_file.id}: reads no repository; --checkpoint takes a PATH")
    repository, _, revision = checkpoint.removeprefix(HUB).partition("@")
    if not REPOSITORY.fullmatch(repository):
        raise CheckpointError(f"--checkpoint {checkpoint}: allowed: {HUB}owner/name[@revision]")
    return HubSource(
        repository,
        licence="see its page",
        files=source.files,
        one_of=source.one_of,
        optional=source.optional,
        revision=revision or None,
    )


def _local_checkpoint(model_id: str) -> Path | None:
    """Return the user's checkpoint of a model; None if there is none; refuse several."""
    paths = _local_checkpoints(model_id)
    if len(paths) > 1:
        names = ", ".join(str(path) for path in paths)
        raise CheckpointError(f"{model_id}: several checkpoints: {names}; give --checkpoint PATH")
    return paths[0] if paths else None


def _local_checkpoints(model_id: str) -> list[Path]:
    """Return the checkpoints CHECKPOINTS/<model>.*, sorted, then the directory of that name."""
    paths = [
        path
        for path in sorted(CHECKPOINTS.glob(f"{model_id}.*"))
        if not path.name.endswith(COMPANION_ENDINGS)
    ]
    directory = CHECKPOINTS / model_id
    return [*paths, directory] if directory.is_dir() else paths


def _labels_next_to(checkpoint: Path) -> Path | None:
    """Return the labels file next to a checkpoint; None if there is none; refuse two."""
    stem = checkpoint.name if checkpoint.is_dir() else checkpoint.stem
    candidates = [checkpoint.with_name(stem + ending) for ending in LABEL_ENDINGS]
    paths = [path for path in candidates if path.is_file()]
    if len(paths) > 1:
        names = " and ".join(str(path) for path in paths)
        raise LabelsError(f"{names}: two labels files; keep one, or give --labels FILE")
    return paths[0] if paths else None


def _seeded(recipe_file: RecipeFile, labels: Path | None) -> ResolvedWeights:
    """Return seeded weights; refuse a recipe that has none."""
    if recipe_file.recipe.seed is None:
        raise CheckpointError(
            f"{recipe_file.id}: the recipe has no seeded weights; give --checkpoint"
        )
    return ResolvedWeights("seeded", None, labels)
