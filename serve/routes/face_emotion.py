"""POST /v1/face-emotion: the emotion of the faces in a picture.

Its files, options and answer: serve/API.md.
"""

import math
from collections.abc import Mapping
from typing import TypeVar

from runtime.errors import InputError
from runtime.tasks import face_emotion as task
from runtime.tasks.augmentation import Tta
from runtime.tasks.ensemble import Ensemble, build_ensemble
from runtime.tasks.soft_voting import parse_weights
from serve.catalog.facts import facts_of_several
from serve.catalog.task_models import default_panel
from serve.routes.endpoint import Asked, Reply
from serve.text.quoting import cut, quoted
from serve.uploads.parse import Form

T = TypeVar("T")

OPTIONS = ("faces", "crop", "margin", "tta", "weights", "early_exit")
FORM = Form(("image",), OPTIONS)
FACES: Mapping[str, task.Faces] = {"largest": "largest", "all": "all"}
CROPS: Mapping[str, task.Crop] = {"auto": "auto", "none": "none"}
TTAS: Mapping[str, Tta] = {"none": "none", "flip": "flip", "full": "full"}
FLAGS = {"true": True, "false": False, "1": True, "0": False}


def face_emotion(asked: Asked) -> Reply:
    """By the vote of the models that are served."""
    given = {name: text.strip() for name, text in asked.upload.options.items() if text.strip()}
    options = _parsed(given)
    panel = _panel(asked, given.get("weights"))
    detector = asked.catalog.get(asked.settings.face_detector_model)
    result = task.face_emotion(asked.image(), panel, detector=detector, options=options)
    facts = facts_of_several(asked.catalog[result.lead], result.models, result.warnings)
    return Reply(facts, result.to_json())


def _panel(asked: Asked, text: str | None) -> Ensemble:
    if text is None:
        return default_panel(asked.catalog, asked.settings)
    weights = parse_weights(text)
    unknown = [name for name, _ in weights if name not in asked.catalog]
    if unknown:
        known = ", ".join(asked.catalog)
        raise InputError(f"weights name {cut(', '.join(unknown))}; served are: {known}")
    return build_ensemble(weights, asked.catalog)


def _parsed(given: Mapping[str, str]) -> task.Options:
    default = task.Options()
    return task.Options(
        faces=_choice(given, "faces", FACES, default.faces),
        crop=_choice(given, "crop", CROPS, default.crop),
        margin=_number(given, "margin", default.margin),
        tta=_choice(given, "tta", TTAS, default.tta),
        early_exit=_choice(given, "early_exit", FLAGS, default.early_exit),
    )


def _choice(given: Mapping[str, str], name: str, values: Mapping[str, T], default: T) -> T:
    if name not in given:
        return default
    if given[name].lower() not in values:
        raise InputError(f"{name} is {quoted(given[name])}; allowed: {', '.join(values)}")
    return values[given[name].lower()]


def _number(given: Mapping[str, str], name: str, default: float) -> float:
    try:
        number = float(given.get(name, default))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{name} is {quoted(given[name])}; allowed: a number")
    return number
