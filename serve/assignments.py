"""Which model answers which task route."""

from dataclasses import dataclass

from runtime.errors import ArtifactError
from runtime.manifest import Task
from serve.catalog import Catalog
from serve.settings import Settings


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which model answers a task route, and the variable that says so."""

    variable: str
    model: str
    task: Task


def assignments(settings: Settings) -> tuple[Assignment, ...]:
    """Which model answers which task route, to be checked at the start."""
    face, voice = settings.face_emotion_model, settings.voice_emotion_model
    pair, mask = settings.similarity_model, settings.background_model
    return (
        Assignment("SLIPWAY_FACE_EMOTION_MODEL", face, "image-classification"),
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
