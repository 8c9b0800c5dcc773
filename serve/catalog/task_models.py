"""Which model answers which task route."""

from dataclasses import dataclass

from runtime.artifact.manifest import Task
from runtime.errors import ArtifactError, InputError
from runtime.tasks.ensemble import Ensemble, build_ensemble, with_fallback
from serve.catalog.catalog import Catalog, find
from serve.errors import NotFoundError
from serve.settings import Settings


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which model answers a task route or finds what it is about, and the variable that says so."""

    variable: str
    model: str
    task: Task


def assignments(settings: Settings) -> tuple[Assignment, ...]:
    """Which model answers which task route, to be checked at the start."""
    face, voice = settings.face_emotion_model, settings.voice_emotion_model
    pair, mask = settings.similarity_model, settings.background_model
    return (
        Assignment("SLIPWAY_FACE_EMOTION_MODEL", face, "image-classification"),
        Assignment("SLIPWAY_FACE_DETECTOR_MODEL", settings.face_detector_model, "object-detection"),
        Assignment("SLIPWAY_VOICE_EMOTION_MODEL", voice, "audio-classification"),
        Assignment("SLIPWAY_GAIT_MODEL", settings.gait_model, "video-classification"),
        Assignment("SLIPWAY_SIMILARITY_MODEL", pair, "image-feature-extraction"),
        Assignment("SLIPWAY_BACKGROUND_MODEL", mask, "image-segmentation"),
    )


def check_assignments(catalog: Catalog, assignments: tuple[Assignment, ...]) -> None:
    """Refuse a task route whose model does another task; one that is absent is answered 404 later.

    Raises:
        ArtifactError: naming the variable, the model and both tasks.
    """
    for wanted in assignments:
        model = catalog.get(wanted.model)
        if model is not None and model.spec.task != wanted.task:
            raise ArtifactError(
                f"{wanted.variable} is {wanted.model!r}, a model for {model.spec.task}; "
                f"allowed: one for {wanted.task}"
            )


def default_panel(catalog: Catalog, settings: Settings) -> Ensemble:
    """Who votes on a face's emotion where a request does not say.

    Raises:
        NotFoundError: none of them is served, nor the model that answers alone.
        InputError: two have different labels.
    """
    weights = with_fallback(
        settings.face_emotion_weights, catalog, lambda: find(catalog, settings.face_emotion_model)
    )
    return build_ensemble(weights, catalog)


def check_panel(catalog: Catalog, settings: Settings) -> None:
    """Refuse members of one vote that cannot vote together; with nobody, requests are answered 404.

    Raises:
        ArtifactError: naming the variable and who differs.
    """
    try:
        default_panel(catalog, settings)
    except NotFoundError:
        return
    except InputError as error:
        raise ArtifactError(f"SLIPWAY_FACE_EMOTION_WEIGHTS: {error}") from None
