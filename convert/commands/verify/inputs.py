"""Make inputs that no conversion has seen, through the decoding and preprocessing that serve."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from convert.errors import CalibrationError
from convert.files import sha256
from convert.recipe import MediaKind
from convert.samples import procedural
from convert.samples.division import MAX_FILES_PER_SET
from convert.samples.media import MODALITIES
from convert.samples.sets import Samples
from runtime.artifact.manifest import Task
from runtime.engine.session import Feeds
from runtime.errors import ArtifactError, InputError
from runtime.model import Model

# for versions whose manifest does not name the kind of media that they were measured with
KINDS: Mapping[Task, MediaKind] = {
    "audio-classification": "voice",
    "video-classification": "walker",
    "sentence-similarity": "sentence",
}


def media_kind(model: Model) -> MediaKind:
    """Return the kind of media that a model was measured with.

    Raises:
        ArtifactError: the manifest names an unknown kind.
    """
    recorded = model.variant.verification.get("media")
    if recorded is None:
        return KINDS.get(model.spec.task, "scene")
    for kind in MODALITIES:
        if kind == recorded:
            return kind
    raise ArtifactError(
        f"{model.spec.id}/{model.manifest.version}: verification.media of {model.variant.name} is "
        f"{recorded!r}; known: {', '.join(MODALITIES)}"
    )


def generate_samples(model: Model) -> Samples:
    """Return as many synthetic samples as the conversion measured, from another split."""
    modality = MODALITIES[media_kind(model)]
    media = modality.generate(procedural.SAMPLES, modality.validation_count)
    return tuple(
        _feeds(modality.encode(medium), model, number) for number, medium in enumerate(media)
    )


def read_samples(model: Model, directory: Path) -> Samples:
    """Read up to MAX_FILES_PER_SET media below a directory, in the order of their content hashes.

    Raises:
        CalibrationError: there are none, or one is unreadable.
    """
    modality = MODALITIES[media_kind(model)]
    paths = [p for p in directory.rglob("*") if p.suffix.lower() in modality.suffixes]
    by_hash = dict(sorted((sha256(path), path) for path in paths if path.is_file()))
    if not by_hash:
        suffixes = ", ".join(sorted(modality.suffixes))
        raise CalibrationError(f"{directory}: no {modality.noun} ({suffixes})")
    return tuple(_read_files(list(by_hash.values())[:MAX_FILES_PER_SET], model))


def _read_files(paths: list[Path], model: Model) -> Iterator[Feeds]:
    for number, path in enumerate(paths):
        try:
            yield _feeds(path.read_bytes(), model, number)
        except InputError as error:
            raise CalibrationError(f"{path}: {error}") from error


def _feeds(data: bytes, model: Model, number: int) -> Feeds:
    return model.prepare(data, condition=_condition(model, number)).feeds


def _condition(model: Model, number: int) -> str | None:
    """Return the condition to ask sample `number` with: each in turn, none for every third."""
    conditions = model.assets.conditions
    if conditions is None or number % 3 == 2:
        return None
    return conditions.names[number % len(conditions.names)]
