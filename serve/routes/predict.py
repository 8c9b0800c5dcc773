"""POST /v1/models/{model}: what any model says of one image, sound, clip or text."""

from collections.abc import Mapping

from runtime import Model
from runtime.artifact.manifest import Task
from runtime.cutout.compose import limit_side
from runtime.results import Alpha, warnings_of
from serve.catalog.facts import facts_of
from serve.routes.endpoint import Call, Reply, one_of
from serve.uploads.parse import Form

CONDITION = ("condition", "clinical_condition")  # two names of one option; the second is the older
IMAGE = Form(("image",))
FORMS: Mapping[Task, Form] = {  # of what is no image
    "audio-classification": Form(("audio",), noun="sound"),
    "video-classification": Form(("video",), CONDITION, noun="video"),
    "sentence-similarity": Form(("text",), noun="text", is_text=True),
}


def form_of(model: Model) -> Form:
    """What a model takes."""
    return FORMS.get(model.spec.task, IMAGE)


def predict(call: Call) -> Reply:
    """The model's own answer."""
    model = call.model
    if model.spec.task in FORMS:
        return _sound_clip_or_text(call)
    image = call.image()
    height, width = image.shape[:2]
    if model.spec.task == "image-segmentation":
        image = limit_side(image, call.settings.background_max_side_px)
    result = model.predict(image)
    content = result.to_json()
    if isinstance(result, Alpha):
        # the mask is that of the image made smaller; at the photo's size it would be 4 B a pixel
        content = {**content, "height": height, "width": width}
    return Reply(facts_of(model, warnings_of(result)), content)


def _sound_clip_or_text(call: Call) -> Reply:
    model, condition = call.model, one_of(call.upload.options, CONDITION)
    result = model.predict(call.upload.files[0], condition=condition, bounds=call.bounds)
    known = model.assets.conditions
    told = {"condition": known.find(condition) if known and condition else None}
    taken = told if model.spec.task == "video-classification" else {}
    return Reply(facts_of(model, warnings_of(result)), {**result.to_json(), **taken})
