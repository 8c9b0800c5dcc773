"""POST /v1/face-emotion: the emotion of the faces in a picture.

Its files, options and answer: serve/API.md.
"""

from collections.abc import Mapping
from typing import get_args

from runtime.errors import InputError
from runtime.tasks import face_emotion as task
from runtime.tasks.augmentation import Tta
from runtime.tasks.ensemble import Ensemble, build_ensemble
from runtime.tasks.soft_voting import parse_weights
from serve.repository.provenance import joint_provenance
from serve.repository.task_models import default_ensemble, find_detector
from serve.routes.endpoint import JsonReply, RequestContext
from serve.text.messages import truncate
from serve.uploads.form import Form
from serve.uploads.options import Options, choice, flag, number, one_of, without_blanks

VOTE_WEIGHTS = ("vote_weights", "weights")  # two names of one option; the second is deprecated
OPTIONS = ("faces", "crop", "margin", "tta", *VOTE_WEIGHTS, "early_exit")
FORM = Form(("image",), OPTIONS)
FACES: Mapping[str, task.Faces] = {word: word for word in get_args(task.Faces)}
CROPS: Mapping[str, task.Crop] = {word: word for word in get_args(task.Crop)}
TTAS: Mapping[str, Tta] = {word: word for word in get_args(Tta)}

NO_DETECTOR = (
    "no face detector is served, so no face was looked for: the whole picture is judged as one "
    "face; crop=none if it is one"
)


def face_emotion(context: RequestContext) -> JsonReply:
    """Answer with the weighted vote of the served emotion models."""
    options = without_blanks(context.upload.options)
    task_options = _task_options(options)
    ensemble = _ensemble(context, one_of(options, VOTE_WEIGHTS))
    detector = find_detector(context.repository, context.settings)
    result = task.face_emotion(context.photo(), ensemble, detector=detector, options=task_options)
    warnings = (*result.warnings, *((NO_DETECTOR,) if result.lacks_detector else ()))
    provenance = joint_provenance(context.repository[result.lead], result.models, warnings)
    return JsonReply(provenance, result.to_json())


def _ensemble(context: RequestContext, text: str | None) -> Ensemble:
    """Return the models of the option `vote_weights`, or those of the settings.

    Raises:
        InputError: the option is ill-formed, or names a model that is not served or cannot vote.
        NotFoundError: without the option, no model of the settings is served.
    """
    if text is None:
        return default_ensemble(context.repository, context.settings)
    weights = parse_weights(text)
    unknown = [name for name, _ in weights if name not in context.repository]
    if unknown:
        ids = ", ".join(context.repository)
        raise InputError(f"vote_weights name {truncate(', '.join(unknown))}; served are: {ids}")
    return build_ensemble(weights, context.repository)


def _task_options(options: Options) -> task.Options:
    default = task.Options()
    return task.Options(
        faces=choice(options, "faces", FACES, default.faces),
        crop=choice(options, "crop", CROPS, default.crop),
        margin=number(options, "margin", default.margin),
        tta=choice(options, "tta", TTAS, default.tta),
        early_exit=flag(options, "early_exit", default=default.early_exit),
    )
