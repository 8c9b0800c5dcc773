"""Check where the weights of each model would come from, without reading or downloading them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from convert.checkpoint.kinds import DESCRIPTIONS, detect_kind
from convert.commands.doctor.finding import Finding
from convert.errors import CheckpointError, LabelsError, SourceError
from convert.recipe import RecipeFile
from convert.sources import AnySource, Source
from convert.weights import resolve
from convert.weights.download import Fetched, Store
from convert.weights.resolve import ResolvedWeights
from runtime.artifact.manifest import read_manifest, versions
from runtime.errors import SlipwayError

# for weights of unknown size: those of wav2vec2-base, the largest default model
ASSUMED_BYTES = 380_000_000
# disk space as shares of the weights' bytes: float and INT8 stay; an export and candidates do not
STAYING, SCRATCH = 1.3, 2.0


@dataclass(frozen=True, slots=True)
class WeightsOptions:
    """The options of `convert run` that decide on weights."""

    recipe_files: Sequence[RecipeFile]
    out: Path
    mode: resolve.WeightsMode
    checkpoint: Path | None
    labels: Path | None


@dataclass(frozen=True, slots=True)
class ModelWeights:
    """The weights of one model, as a conversion would use them."""

    finding: Finding
    size_bytes: int  # estimated unless they are on this machine
    download_bytes: int  # still to be downloaded


def check_weights(options: WeightsOptions, store: Store) -> Iterator[ModelWeights]:
    """Check the weights of each model; all hosts to download from share one short wait."""
    sources = (
        resolve.source_to_fetch(recipe_file, options.mode, options.checkpoint)
        for recipe_file in options.recipe_files
    )
    store.probe(source for source in sources if source is not None)
    for recipe_file in options.recipe_files:
        yield _check_model(recipe_file, options, store)


def disk_bytes(models: Sequence[ModelWeights]) -> float:
    """Estimate the disk space of a run: what stays of all models, and scratch of the largest."""
    staying = sum(STAYING * model.size_bytes + model.download_bytes for model in models)
    return staying + max((SCRATCH * model.size_bytes for model in models), default=0.0)


def _check_model(recipe_file: RecipeFile, options: WeightsOptions, store: Store) -> ModelWeights:
    downloads: list[AnySource] = []

    def peek(source: AnySource) -> Fetched:
        """Stand in for a download: note the source if its host answers."""
        cached = store.cached(source)
        if cached is not None:
            return cached
        reason = store.unreachable_reason(source)
        if reason is not None:
            raise SourceError(f"{source.address}: {reason}")
        downloads.append(source)
        return Fetched(Path(source.address), source.address)

    try:
        weights = resolve.find(
            recipe_file, options.mode, options.checkpoint, options.labels, fetch=peek
        )
        if downloads:
            return _to_download(recipe_file, downloads[0])
        if weights.labels is not None and not weights.labels.is_file():
            raise LabelsError(f"{weights.labels}: no such file; --labels FILE names the classes")
        return _on_this_machine(recipe_file, weights, options.out)
    except SlipwayError as error:
        reason = str(error).removeprefix(f"{recipe_file.id}: ")
        return ModelWeights(Finding("missing", recipe_file.id, reason), 0, 0)


def _on_this_machine(recipe_file: RecipeFile, weights: ResolvedWeights, out: Path) -> ModelWeights:
    """Describe weights that need no download.

    Raises:
        CheckpointError: the file is of no known kind, or the folder is empty.
    """
    if weights.path is None:
        size = _float_graph_bytes(out / recipe_file.id) or ASSUMED_BYTES
        reason = f": {weights.fallback_reason}" if weights.fallback_reason else ""
        text = f"seeded (untrained) weights: the answers will mean nothing{reason}"
        return ModelWeights(Finding("note", recipe_file.id, text), size, 0)
    if weights.path.is_dir():
        kind, files = "a folder", [path for path in weights.path.rglob("*") if path.is_file()]
    else:
        kind, files = DESCRIPTIONS[detect_kind(weights.path)], [weights.path]
    size = sum(path.stat().st_size for path in files)
    if not size:
        raise CheckpointError(f"{weights.path}: the folder is empty")
    origin = f"; from {weights.address} ({weights.licence})" if weights.licence else ""
    text = f"{weights.path}, {kind}, {_megabytes(size)}{origin}"
    finding = Finding("ok", recipe_file.id, text)
    return ModelWeights(finding, size, 0)


def _to_download(recipe_file: RecipeFile, source: AnySource) -> ModelWeights:
    size = _published_bytes(source)
    size_text = _megabytes(size) if size else "of unknown size"
    text = f"will be downloaded from {source.address} ({source.licence}), {size_text}"
    size_bytes = size or ASSUMED_BYTES
    return ModelWeights(Finding("note", recipe_file.id, text), size_bytes, size_bytes)


def _published_bytes(source: AnySource) -> int | None:
    """Return the size that the recipe states of a source; None if it states none."""
    if isinstance(source, Source):
        return source.size_bytes
    sizes = [expected.size_bytes for expected in source.expected.values()]
    return sum(size or 0 for size in sizes) if all(sizes) else None


def _float_graph_bytes(directory: Path) -> int | None:
    """Return the size of the newest version's float graph, which is that of its weights."""
    try:
        newest = versions(directory)[-1]
        return sum(file.size_bytes for file in read_manifest(newest).plain.files)
    except (IndexError, SlipwayError):
        return None


def _megabytes(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"
