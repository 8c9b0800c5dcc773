"""The operations of the tasks: a file and options in, a result out."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, TypedDict, get_args, get_type_hints

from runtime.cutout.compose import MEDIA_TYPES
from runtime.results import Result
from runtime.tasks.face_emotion import FaceEmotionJson
from runtime.tasks.gait import GaitJson
from runtime.tasks.similarity import SimilarityJson
from runtime.tasks.voice_emotion import VoiceEmotionJson
from serve.openapi.errors import BODY, QUEUE, ErrorJson
from serve.openapi.headers import PROVENANCE
from serve.openapi.operation import Answer, Key, Media, Operation
from serve.openapi.operations.parameters import ASYNC, MODEL, SAME_VERSION, STORED, WAIT
from serve.openapi.schema import AnyOf
from serve.repository.provenance import AnswerJson
from serve.routes import background, face_emotion, gait, predict, similarity, voice_emotion
from serve.routes.jobs import JobJson
from serve.routes.multi_file import CutOutJson
from serve.uploads.form import Form


class FaceEmotionAnswerJson(AnswerJson):
    """The answer of /v1/face-emotion."""

    result: FaceEmotionJson


class FaceEmotionAnswersJson(TypedDict):
    """The answers for several pictures, in order."""

    results: list[FaceEmotionAnswerJson | ErrorJson]


class VoiceEmotionAnswerJson(AnswerJson):
    """The answer of /v1/voice-emotion."""

    result: VoiceEmotionJson


class VoiceEmotionAnswersJson(TypedDict):
    """The answers for several recordings, in order."""

    results: list[VoiceEmotionAnswerJson | ErrorJson]


class GaitAnswerJson(AnswerJson):
    """The answer of /v1/gait."""

    result: GaitJson


class GaitAnswersJson(TypedDict):
    """The answers for several clips, in order."""

    results: list[GaitAnswerJson | ErrorJson]


class SimilarityAnswerJson(AnswerJson):
    """The answer of /v1/similarity."""

    result: SimilarityJson


class CutOutAnswerJson(AnswerJson):
    """The answer for one of several pictures."""

    result: CutOutJson


class CutOutAnswersJson(TypedDict):
    """The answers for several pictures, in order."""

    results: list[CutOutAnswerJson | ErrorJson]


RESULTS = tuple(
    get_type_hints(one.to_json, include_extras=True)["return"] for one in get_args(Result)
)


class ModelAnswerJson(AnswerJson):
    """The answer of one model."""

    result: Annotated[Any, AnyOf((*RESULTS, predict.ConditionedJson))]


class ModelAnswersJson(TypedDict):
    """The answers for several files, in order."""

    results: list[ModelAnswerJson | ErrorJson]


_HEADERS = (*PROVENANCE, "Server-Timing", "X-Cache", "Age")
_PICTURES = tuple(Media(media_type) for media_type in MEDIA_TYPES.values())
ACCEPTED = Answer(
    text="The request runs as a job.",
    media=(Media(annotation=JobJson),),
    headers=("Location", "Preference-Applied", "Retry-After", "Cache-Control"),
)


def _task(
    summary: str,
    *forms: Form,
    media: Sequence[Media],
    text: str = "",
    replaced_by: str = "",
    answers: Mapping[int, Answer] | None = None,
    parameters: Sequence[Any] = (),
) -> Operation:
    done = Answer(text="The answer.", media=media, headers=_HEADERS)
    return Operation(
        tag="Tasks",
        summary=summary,
        text=text,
        forms=forms,
        parameters=(*parameters, WAIT, *ASYNC, SAME_VERSION, STORED),
        answers=answers or {200: done, 202: ACCEPTED},
        errors=(*QUEUE, *BODY, 422),
        replaced_by=replaced_by,
    )


def _json(*annotations: Any) -> tuple[Media, ...]:
    return (Media(annotation=Annotated[Any, AnyOf(annotations)]),)


_FACE = ("Classify the emotion of the faces in a picture, by the weighted vote of models.",)
_FACE_MEDIA = _json(FaceEmotionAnswerJson, FaceEmotionAnswersJson)
_GAIT = "Classify how a person walks in a clip."
_GAIT_MEDIA = _json(GaitAnswerJson, GaitAnswersJson)
_CUT = "Cut out the foreground of an image."
_CUT_MEDIA = (*_PICTURES, *_json(CutOutAnswersJson))

OPERATIONS: Mapping[Key, Operation] = {
    ("POST", "/v1/face-emotion"): _task(*_FACE, face_emotion.FORM, media=_FACE_MEDIA),
    ("POST", "/api/predict"): _task(
        *_FACE, face_emotion.FORM, media=_FACE_MEDIA, replaced_by="/v1/face-emotion"
    ),
    ("POST", "/api/predict-async"): _task(
        *_FACE,
        face_emotion.FORM,
        media=_FACE_MEDIA,
        text="Every request is a job, as with `Prefer: respond-async`.",
        replaced_by="/v1/face-emotion",
    ),
    ("POST", "/v1/voice-emotion"): _task(
        "Classify the emotion of a voice over a whole recording, in overlapping windows.",
        voice_emotion.FORM,
        media=_json(VoiceEmotionAnswerJson, VoiceEmotionAnswersJson),
    ),
    ("POST", "/v1/gait"): _task(_GAIT, gait.FORM, media=_GAIT_MEDIA),
    ("POST", "/predict"): _task(_GAIT, gait.FORM, media=_GAIT_MEDIA, replaced_by="/v1/gait"),
    ("POST", "/v1/similarity"): _task(
        "Compare two images, or one image with up to 32 others.",
        similarity.FORM,
        media=(Media(annotation=SimilarityAnswerJson),),
    ),
    ("POST", "/v1/background"): _task(_CUT, background.FORM, media=_CUT_MEDIA),
    ("POST", "/api/remove-background"): _task(
        _CUT, background.FORM, media=_CUT_MEDIA, replaced_by="/v1/background"
    ),
    ("POST", "/v1/models/{model}"): _task(
        "Return the result of one model for one file.",
        predict.IMAGE,
        *predict.FORMS.values(),
        media=_json(ModelAnswerJson, ModelAnswersJson),
        text="The file is an `image`, `audio`, `video` or `text`, as the task of the model needs.",
        parameters=(MODEL,),
    ),
}
