"""POST /v1/models/{model}: the result of any model for one image, sound, clip or text."""

from collections.abc import Mapping
from typing import Any

from runtime import Model
from runtime.artifact.conditions import LONGEST_TEXT
from runtime.artifact.manifest import Task
from runtime.cutout.compose import limit_side
from runtime.media.images.decode import Photo
from runtime.results import Alpha, ClassificationJson, warnings_of
from serve.repository.provenance import provenance_of
from serve.routes.endpoint import JsonReply, RequestContext
from serve.uploads.form import Form
from serve.uploads.options import Text

CONDITION = Text(
    name="condition",
    other_names=("clinical_condition",),  # of earlier deployments
    longest=LONGEST_TEXT,
    example="stroke",
    help="of the person: a name that the model knows; or free text",
)
IMAGE = Form(("image",))
FORMS: Mapping[Task, Form] = {  # of the tasks that take no image
    "audio-classification": Form(("audio",), noun="sound"),
    "video-classification": Form(("video",), (CONDITION,), noun="video"),
    "sentence-similarity": Form(("text",), noun="text", is_text=True),
}


class ConditionedJson(ClassificationJson):
    """The class of a clip, and the condition by the name that the model knows."""

    condition: str | None


def form_of(model: Model) -> Form:
    """Return the form of a model's task."""
    return FORMS.get(model.spec.task, IMAGE)


def predict(context: RequestContext, model: Model) -> JsonReply:
    """Answer with the model's result for one file."""
    if model.spec.task in FORMS:
        return _predict_other_media(context, model)
    photo = context.photo()
    height, width = photo.pixels.shape[:2]
    if model.spec.task == "image-segmentation":
        small = limit_side(photo.pixels, context.settings.background_max_side_px)
        photo = Photo(small, warnings=photo.warnings)
    result = model.predict(photo)
    content: Mapping[str, Any] = result.to_json()
    if isinstance(result, Alpha):
        # the mask is that of the reduced image; at the photo's size it would take 4 B a pixel
        content = {**content, "height": height, "width": width}
    return JsonReply(provenance_of(model, warnings_of(result)), content)


def _predict_other_media(context: RequestContext, model: Model) -> JsonReply:
    """Answer for a sound, a clip or a text; for a clip with the condition that was used."""
    condition = CONDITION.read(context.upload.options)
    result = model.predict(context.upload.files[0], condition=condition, bounds=context.bounds)
    content: Mapping[str, Any] = result.to_json()
    if model.spec.task == "video-classification":
        conditions = model.assets.conditions
        name = conditions.find(condition) if conditions and condition else None
        content = {**content, "condition": name}
    return JsonReply(provenance_of(model, warnings_of(result)), content)
