"""Inputs that no conversion has seen, through the served decoding and preprocessing."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from convert.errors import CalibrationError
from convert.files import sha256
from convert.recipe import MediaKind
from convert.samples import procedural
from convert.samples.media import MODALITIES
from convert.samples.sets import MAXIMUM, Samples
from runtime.artifact.manifest import Task
from runtime.engine.session import Feeds
from runtime.errors import ArtifactError, InputError
from runtime.model import Model

# of versions that do not say by which drawings they were judged
KINDS: Mapping[Task, MediaKind] = {
    "audio-classification": "voice",
    "video-classification": "walker",
    "sentence-similarity": "sentence",
}


def kind_of(model: Model) -> MediaKind:
    """The kind of media that a model was judged with.

    Raises:
        ArtifactError: the version names one that is unknown.
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


def drawn(model: Model) -> Samples:
    """As many drawings as judged the conversion, of a split that it did not see."""
    modality = MODALITIES[kind_of(model)]
    media = modality.generate(procedural.SAMPLES, modality.validation_count)
    return tuple(_prepared(modality.encode(each), model, n) for n, each in enumerate(media))


def given(model: Model, directory: Path) -> Samples:
    """The user's media below a directory, in the order of their content hash; at most MAXIMUM.

    Raises:
        CalibrationError: there are none, or one is unreadable.
    """
    modality = MODALITIES[kind_of(model)]
    paths = [p for p in directory.rglob("*") if p.suffix.lower() in modality.suffixes]
    ordered = dict(sorted((sha256(path), path) for path in paths if path.is_file())).values()
    if not ordered:
        suffixes = ", ".join(sorted(modality.suffixes))
        raise CalibrationError(f"{directory}: no {modality.noun} ({suffixes})")
    return tuple(_read(list(ordered)[:MAXIMUM], model))


def _read(paths: list[Path], model: Model) -> Iterator[Feeds]:
    for number, path in enumerate(paths):
        try:
            yield _prepared(path.read_bytes(), model, number)
        except InputError as error:
            raise CalibrationError(f"{path}: {error}") from error


def _prepared(data: bytes, model: Model, number: int) -> Feeds:
    return model.prepare(data, condition=_condition(model, number)).feeds


def _condition(model: Model, number: int) -> str | None:
    """Of every third person nothing is known; of the others each condition in turn."""
    known = model.assets.conditions
    if known is None or number % 3 == 2:
        return None
    return known.names[number % len(known.names)]
