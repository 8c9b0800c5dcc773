"""Where the weights of each model would come from, without reading or fetching them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from convert.checkpoint.kinds import DESCRIPTIONS, detect_kind
from convert.commands.doctor.finding import Finding
from convert.errors import CheckpointError, LabelsError, SourceError
from convert.recipe import RecipeFile
from convert.sources import AnySource, Source
from convert.weights import resolve as weights
from convert.weights.download import Fetched, Store
from convert.weights.resolve import ResolvedWeights
from runtime.artifact.manifest import read_manifest, versions
from runtime.errors import SlipwayError

# of weights of unknown size: those of wav2vec2-base, the largest default model
ASSUMED_BYTES = 380_000_000
# of the bytes of the weights: float and INT8 stay, an export and candidates lie beside meanwhile
KEPT, SCRATCH = 1.3, 2.0


@dataclass(frozen=True, slots=True)
class Asked:
    """The arguments of a run, as far as they decide on weights."""

    recipe_files: Sequence[RecipeFile]
    out: Path
    mode: weights.WeightsMode
    checkpoint: Path | None
    labels: Path | None


@dataclass(frozen=True, slots=True)
class AtHand:
    """One model's weights."""

    finding: Finding
    size_bytes: int  # estimated where they are not here
    fetched_bytes: int  # that are yet to come


def look(asked: Asked, store: Store) -> Iterator[AtHand]:
    """One finding per model; hosts that would have to be asked get one short wait together."""
    sources = (
        weights.source_to_fetch(each, asked.mode, asked.checkpoint) for each in asked.recipe_files
    )
    store.probe(source for source in sources if source is not None)
    for recipe_file in asked.recipe_files:
        yield _one(recipe_file, asked, store)


def disk_bytes(models: Sequence[AtHand]) -> float:
    """Estimate for a whole run: what stays of all, and what the largest has beside meanwhile."""
    kept = sum(KEPT * each.size_bytes + each.fetched_bytes for each in models)
    return kept + max((SCRATCH * each.size_bytes for each in models), default=0.0)


def _one(recipe_file: RecipeFile, asked: Asked, store: Store) -> AtHand:
    to_come: list[AnySource] = []

    def peek(source: AnySource) -> Fetched:
        kept = store.kept(source)
        if kept is not None:
            return kept
        why = store.unreachable(source)
        if why is not None:
            raise SourceError(f"{source.address}: {why}")
        to_come.append(source)
        return Fetched(Path(source.address), source.address)

    try:
        found = weights.find(recipe_file, asked.mode, asked.checkpoint, asked.labels, peek)
        if to_come:
            return _to_fetch(recipe_file, to_come[0])
        if found.labels is not None and not found.labels.is_file():
            raise LabelsError(f"{found.labels}: no such file; --labels FILE names the classes")
        return _here(recipe_file, found, asked.out)
    except SlipwayError as error:
        told = str(error).removeprefix(f"{recipe_file.id}: ")
        return AtHand(Finding("missing", recipe_file.id, told), 0, 0)


def _here(recipe_file: RecipeFile, found: ResolvedWeights, out: Path) -> AtHand:
    if found.path is None:
        size = _earlier_size(out / recipe_file.id) or ASSUMED_BYTES
        why = f": {found.fallback_reason}" if found.fallback_reason else ""
        told = f"seeded stand-ins, the answers will mean nothing{why}"
        return AtHand(Finding("note", recipe_file.id, told), size, 0)
    if found.path.is_dir():
        kind, files = "a folder", [path for path in found.path.rglob("*") if path.is_file()]
    else:
        kind, files = DESCRIPTIONS[detect_kind(found.path)], [found.path]
    size = sum(path.stat().st_size for path in files)
    if not size:
        raise CheckpointError(f"{found.path}: the folder is empty")
    finding = Finding("ok", recipe_file.id, f"{found.path}, {kind}, {_told(size)}")
    return AtHand(finding, size, 0)


def _to_fetch(recipe_file: RecipeFile, source: AnySource) -> AtHand:
    known = _published_bytes(source)
    size = _told(known) if known else "of unknown size"
    told = f"will be fetched from {source.address} ({source.licence}), {size}"
    size_bytes = known or ASSUMED_BYTES
    return AtHand(Finding("note", recipe_file.id, told), size_bytes, size_bytes)


def _published_bytes(source: AnySource) -> int | None:
    """None: not known before it is asked for."""
    if isinstance(source, Source):
        return source.size_bytes
    sizes = [each.size_bytes for each in source.expected.values()]
    return sum(size or 0 for size in sizes) if all(sizes) else None


def _earlier_size(directory: Path) -> int | None:
    """Bytes of the float graph of the newest version, which is as large as its weights."""
    try:
        newest = versions(directory)[-1]
        return sum(file.size_bytes for file in read_manifest(newest).variants[-1].files)
    except (IndexError, SlipwayError):
        return None


def _told(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB"
