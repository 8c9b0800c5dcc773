"""The model of each task route, as the settings name it."""

from collections.abc import Mapping
from dataclasses import dataclass

from runtime.artifact.manifest import Task
from runtime.errors import ArtifactError, InputError
from runtime.model import Model
from runtime.tasks import defaults
from runtime.tasks.ensemble import Ensemble, build_ensemble, with_fallback
from serve.errors import NotFoundError
from serve.repository.models import ModelRepository, find_model
from serve.settings import Settings


@dataclass(frozen=True, slots=True)
class TaskModel:
    """A model that a task route needs, and the variable that names it."""

    variable: str
    model: str  # id
    task: Task  # that the model must have


def task_models(settings: Settings) -> tuple[TaskModel, ...]:
    """Return the models that the settings name for the task routes."""
    face, voice = settings.face_emotion_model, settings.voice_emotion_model
    pair, mask = settings.similarity_model, settings.background_model
    return (
        TaskModel("SLIPWAY_FACE_EMOTION_MODEL", face, "image-classification"),
        TaskModel("SLIPWAY_FACE_DETECTOR_MODEL", settings.face_detector_model, "object-detection"),
        TaskModel("SLIPWAY_VOICE_EMOTION_MODEL", voice, "audio-classification"),
        TaskModel("SLIPWAY_GAIT_MODEL", settings.gait_model, "video-classification"),
        TaskModel("SLIPWAY_SIMILARITY_MODEL", pair, "image-feature-extraction"),
        TaskModel("SLIPWAY_BACKGROUND_MODEL", mask, "image-segmentation"),
    )


def check_task_models(tasks: Mapping[str, Task], task_models: tuple[TaskModel, ...]) -> None:
    """Check that each model that is served has the task that its route needs.

    An absent model is no error here: its route responds 404.

    Args:
        tasks: of the models that are served, by id.
        task_models: of the routes.

    Raises:
        ArtifactError: naming the variable, the model and both tasks; a line for each.
    """
    problems = [
        f"{entry.variable} is {entry.model!r}, a model for {tasks[entry.model]}; "
        f"allowed: one for {entry.task}"
        for entry in task_models
        if tasks.get(entry.model, entry.task) != entry.task
    ]
    if problems:
        raise ArtifactError("\n".join(problems))


def find_detector(repository: Mapping[str, Model], settings: Settings) -> Model | None:
    """Return the model that finds faces; None if none is served.

    If the settings name none, and the default one is not served, it is its fallback.
    """
    model = repository.get(settings.face_detector_model)
    if model is None and settings.face_detector_model == defaults.FACE_DETECTOR_MODEL:
        return repository.get(defaults.FACE_DETECTOR_FALLBACK)
    return model


def default_ensemble(repository: Mapping[str, Model], settings: Settings) -> Ensemble:
    """Return the models that vote on a face's emotion if the request does not name them.

    Raises:
        NotFoundError: none of them is served, nor is the fallback model.
        InputError: two of them have different labels.
    """
    weights = with_fallback(
        settings.face_emotion_weights,
        repository,
        lambda: find_model(repository, settings.face_emotion_model),
    )
    return build_ensemble(weights, repository)


def lead_emotion_model(settings: Settings, repository: ModelRepository) -> str:
    """Return the id of the first default voting model that is served, or of the fallback."""
    served = (name for name, _ in settings.face_emotion_weights if name in repository)
    return next(served, settings.face_emotion_model)


def check_ensemble(repository: Mapping[str, Model], settings: Settings) -> None:
    """Check that the models of the default ensemble can vote together.

    An ensemble without a model is no error here: its route responds 404.

    Raises:
        ArtifactError: naming the variable and the model whose labels differ.
    """
    try:
        default_ensemble(repository, settings)
    except NotFoundError:
        return
    except InputError as error:
        raise ArtifactError(f"SLIPWAY_FACE_EMOTION_WEIGHTS: {error}") from None
