"""POST /v1/face-emotion: the emotion of the faces in a picture.

Its files, options and answer: serve/API.md.
"""

from typing import get_args

from runtime.errors import InputError
from runtime.tasks import face_emotion as task
from runtime.tasks.augmentation import Tta
from runtime.tasks.ensemble import Ensemble, build_ensemble
from runtime.tasks.soft_voting import LONGEST_TEXT, parse_weights
from serve.repository.provenance import joint_provenance
from serve.repository.task_models import default_ensemble, find_detector
from serve.routes.endpoint import JsonReply, RequestContext
from serve.text.messages import truncate
from serve.uploads.form import Form
from serve.uploads.options import Choice, Number, Options, Text, flag, without_blanks

DEFAULT = task.Options()
FACES: Choice[task.Faces] = Choice(
    name="faces",
    values={word: word for word in get_args(task.Faces)},
    default=DEFAULT.faces,
    help=f"`all`: up to {task.MOST_FACES} faces, the largest first",
)
CROP: Choice[task.Crop] = Choice(
    name="crop",
    values={word: word for word in get_args(task.Crop)},
    default=DEFAULT.crop,
    help="`none`: the picture is a face; no face is looked for",
)
MARGIN = Number(
    name="margin",
    default=DEFAULT.margin,
    least=task.MARGINS[0],
    most=task.MARGINS[1],
    help="border around a face, as a share of its longer side, 0 to 1",
)
TTA: Choice[Tta] = Choice(
    name="tta",
    values={word: word for word in get_args(Tta)},
    default=DEFAULT.tta,
    help="test-time augmentation, the mean over views: `flip`; `full` also turned, darker and "
    "brighter",
)
VOTE_WEIGHTS = Text(
    name="vote_weights",
    deprecated=("weights",),
    longest=LONGEST_TEXT,
    example="face_emotion_xception:1",
    help="the voting models: `model:weight,model:weight`",
)
EARLY_EXIT = flag(
    "early_exit",
    default=DEFAULT.early_exit,
    help="`false`: run also the models that can no longer change the top label",
)
FORM = Form(("image",), (FACES, CROP, MARGIN, TTA, VOTE_WEIGHTS, EARLY_EXIT))

NO_DETECTOR = (
    "no face detector is served, so no face was looked for: the whole picture is judged as one "
    "face; crop=none if it is one"
)


def face_emotion(context: RequestContext) -> JsonReply:
    """Answer with the weighted vote of the served emotion models."""
    options = without_blanks(context.upload.options)
    task_options = _task_options(options)
    ensemble = _ensemble(context, VOTE_WEIGHTS.read(options))
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
    return task.Options(
        faces=FACES.read(options),
        crop=CROP.read(options),
        margin=MARGIN.read(options),
        tta=TTA.read(options),
        early_exit=EARLY_EXIT.read(options),
    )
