"""Facts of this server that the page shows: what answers each panel, and the limits."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import serve
from runtime.artifact.manifest import Task
from runtime.media.audio import pyav
from runtime.tasks import defaults
from serve.repository.models import ModelRepository
from serve.repository.overview import summarize
from serve.settings import Settings


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel of the page: the models of its task, and which of them this server has."""

    needs: tuple[str, ...]  # ids that the settings name, for the message that none is served
    models: tuple[str, ...]  # of those, the ones of the directory, whatever state they are in
    needs_model: bool = True  # False: the task has an answer without one

    def to_json(self) -> dict[str, Any]:
        """Return `served`, `models` and `needs`."""
        served = bool(self.models) or not self.needs_model
        return {"served": served, "models": self.models, "needs": self.needs}


def facts(repository: ModelRepository, settings: Settings) -> dict[str, Any]:
    """Return what the page asks for when it opens, as JSON."""
    panels = panels_of(repository.tasks, repository.ids, settings)
    return {
        "version": serve.__version__,
        "panels": {name: panel.to_json() for name, panel in panels.items()},
        "models": {name: summarize(repository, name) for name in repository.ids},
        "limits": {
            "upload_bytes": settings.max_upload_bytes,
            "pixels": settings.max_pixels,
            "audio_s": settings.max_audio_s,
            "video_s": settings.max_video_s,
            "files": settings.max_files,
        },
        "decodes_recordings": pyav.is_installed(),
    }


def panels_of(
    tasks: Mapping[str, Task], ids: tuple[str, ...], settings: Settings
) -> dict[str, Panel]:
    """Return the panels by name.

    Args:
        tasks: of the models that may be loaded, by id.
        ids: of all models of the directory.
        settings: that name the models of the task routes.
    """
    named = {
        "voice": settings.voice_emotion_model,
        "gait": settings.gait_model,
        "similarity": settings.similarity_model,
    }
    texts = tuple(name for name, task in tasks.items() if task == "sentence-similarity")
    cutout = settings.background_model
    return {
        "faces": _faces(ids, settings),
        **{name: Panel((model,), _among((model,), ids)) for name, model in named.items()},
        # GrabCut answers without a model
        "cutout": Panel((cutout,), _among((cutout,), ids), needs_model=False),
        "text": Panel(("a model for sentence-similarity",), texts),
    }


def _faces(ids: tuple[str, ...], settings: Settings) -> Panel:
    """Return the voters that are served or their fallback, with the detector behind them."""
    named = tuple(name for name, _ in settings.face_emotion_weights)
    voters = _among(named, ids) or _among((settings.face_emotion_model,), ids)
    detectors = _among(tuple(_detectors(settings)), ids)[:1] if voters else ()
    return Panel((*named, settings.face_emotion_model), (*voters, *detectors))


def _detectors(settings: Settings) -> Iterator[str]:
    yield settings.face_detector_model
    if settings.face_detector_model == defaults.FACE_DETECTOR_MODEL:
        yield defaults.FACE_DETECTOR_FALLBACK


def _among(names: tuple[str, ...], ids: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in names if name in ids)
