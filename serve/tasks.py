"""The task routes: media in, answers for people out."""

import dataclasses
from collections.abc import Awaitable, Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from runtime import Model
from runtime.decode import decode_image
from runtime.errors import InputError
from runtime.manifest import Task
from runtime.media import Bounds, Media
from runtime.results import Alpha, Embedding, Result
from runtime.video import Limits
from serve.body import received
from serve.catalog import Assignment, find
from serve.compose import (
    MEDIA_TYPES,
    OPTIONS,
    check_sides,
    compose,
    limit_side,
    parse_background,
    scale_alpha,
)
from serve.media import Form, Upload, is_json, parse_upload
from serve.models import facts_of, json_answer
from serve.settings import Settings
from serve.state import State

JSON_MARGIN_BYTES = 4096  # of a base64 body: field names, options, the beginning of data URLs
DEGENERATE_WARNING = "the mask is nearly constant: nothing stands out from its background"
UNCALIBRATED = "no threshold was calibrated: compare cosines with each other, not with a limit"

FRAMES_PER_SECOND = 60  # of a clip, at most: what the newest phones take
CONDITION = ("condition", "clinical_condition")  # two names of one option; the second is the older

ONE_IMAGE, TWO_IMAGES = Form(("image",)), Form(("image_a", "image_b"))
CUT_OUT = Form(("image",), OPTIONS)
FORMS: Mapping[Task, Form] = {  # of what is no image
    "audio-classification": Form(("audio",), noun="sound"),
    "video-classification": Form(("video",), CONDITION, noun="video"),
    "sentence-similarity": Form(("text",), noun="text", is_text=True),
}

Answer = Callable[[Model, Upload, Settings], Response]  # runs in a worker
Endpoint = Callable[[Request[State]], Awaitable[Response]]


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


def media_endpoint(
    answer: Answer, *, form: Form | None = None, model_id: str | None = None
) -> Endpoint:
    """An endpoint that takes media in any of the three forms and answers from a worker.

    Args:
        answer: from the media to the response.
        form: what the route takes; None: what the model's task does.
        model_id: who answers; None for the model that the path names.
    """

    async def respond(request: Request[State]) -> Response:
        state = request.state
        model = find(state["catalog"], model_id or request.path_params["model"])
        taken = form or FORMS.get(model.spec.task, ONE_IMAGE)
        content_type = request.headers.get("content-type", "")
        limit_bytes = _body_limit(content_type, state["settings"])
        timeout_s = state["settings"].timeout_s
        async with received(
            request, limit_bytes=limit_bytes, timeout_s=timeout_s, budget=state["budget"]
        ) as body:

            def work() -> Response:
                query = request.query_params.multi_items()
                upload = parse_upload(body, content_type=content_type, query=query, form=taken)
                return answer(model, upload, state["settings"])

            return await state["pool"].run(work)

    return respond


def predict(model: Model, upload: Upload, settings: Settings) -> Response:
    """What a model says of one image, sound, clip or text."""
    if model.spec.task in FORMS:
        condition = _condition(upload.options)
        result = _result(model, upload.files[0], condition=condition, bounds=_bounds(settings))
        known = model.assets.conditions
        told = {"condition": known.find(condition) if known and condition else None}
        taken = told if model.spec.task == "video-classification" else {}
        return json_answer(facts_of(model), {**result.to_json(), **taken})
    image = _image(upload.files[0], settings)
    height, width = image.shape[:2]
    if model.spec.task == "image-segmentation":
        image = limit_side(image, settings.background_max_side_px)
    result = _result(model, image)
    content = result.to_json()
    if isinstance(result, Alpha):
        # the mask is that of the image made smaller; at the photo's size it would be 4 B a pixel
        content = {**content, "height": height, "width": width}
    return json_answer(facts_of(model, _result_warnings(result)), content)


def similarity(model: Model, upload: Upload, settings: Settings) -> Response:
    """How alike two images are, by the model's embeddings."""
    first, second = (_embedding(model, _image(data, settings)) for data in upload.files)
    # rounding may leave the dot product of two unit vectors just outside
    cosine = float(np.clip(np.dot(first.values, second.values), -1.0, 1.0))
    result = {"cosine": cosine, "calibration": "uncalibrated", "note": UNCALIBRATED}
    return json_answer(facts_of(model), result)


def background(model: Model, upload: Upload, settings: Settings) -> Response:
    """The foreground cut out, at the size of the image."""
    wanted = parse_background(upload.options)
    image = _image(upload.files[0], settings)
    height, width = image.shape[:2]
    check_sides(height, width, wanted)
    mask = _result(model, limit_side(image, settings.background_max_side_px))
    if not isinstance(mask, Alpha):
        raise TypeError(f"{model.spec.id} gave {type(mask).__name__}; a cut-out needs Alpha")
    picture = compose(image, scale_alpha(mask.values, height=height, width=width), wanted)
    headers = facts_of(model, _result_warnings(mask)).headers
    return Response(picture, headers=headers, media_type=MEDIA_TYPES[wanted.format])


def _body_limit(content_type: str, settings: Settings) -> int:
    if not is_json(content_type):
        return settings.max_upload_bytes
    return -(-settings.max_upload_bytes // 3) * 4 + JSON_MARGIN_BYTES


def _image(data: bytes, settings: Settings) -> NDArray[np.uint8]:
    return decode_image(data, max_pixels=settings.max_pixels)


def _bounds(settings: Settings) -> Bounds:
    seconds = settings.max_video_s
    video = Limits(FRAMES_PER_SECOND * seconds, seconds, min(settings.max_pixels, Limits().pixels))
    return Bounds(settings.max_pixels, settings.max_audio_s, video)


def _condition(options: Mapping[str, str]) -> str | None:
    given = {options[name].strip() for name in CONDITION if name in options}
    if len(given) > 1:
        raise InputError(f"{' and '.join(CONDITION)} differ; allowed: one of them")
    return next(iter(given), "") or None


def _embedding(model: Model, image: NDArray[np.uint8]) -> Embedding:
    result = _result(model, image)
    if not isinstance(result, Embedding):
        raise TypeError(f"{model.spec.id} gave {type(result).__name__}; similarity needs Embedding")
    return result


def _result(
    model: Model, media: Media, *, condition: str | None = None, bounds: Bounds | None = None
) -> Result:
    result = model.predict(media, condition=condition, bounds=bounds)
    values = (getattr(result, field.name) for field in dataclasses.fields(result))
    arrays = [value for value in values if isinstance(value, np.ndarray)]
    # orjson would write null for them, and a client would take it for an answer
    if not all(np.isfinite(array).all() for array in arrays):
        raise ArithmeticError(f"{model.spec.id} gave values that are not finite numbers")
    return result


def _result_warnings(result: Result) -> tuple[str, ...]:
    return (DEGENERATE_WARNING,) if isinstance(result, Alpha) and result.degenerate else ()
