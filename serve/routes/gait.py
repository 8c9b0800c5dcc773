"""POST /v1/gait, also /predict as earlier deployments had it: how a person walks.

Its files, options and answer: serve/API.md.
"""

from collections.abc import Iterator

from runtime import Model
from runtime.results import warnings_of
from runtime.tasks import gait as task
from serve.repository.provenance import joint_provenance
from serve.routes.endpoint import JsonReply, RequestContext
from serve.routes.predict import CONDITION
from serve.uploads.form import Form

FORM = Form(("video",), (CONDITION,), noun="video")


def gait(context: RequestContext, model: Model) -> JsonReply:
    """Answer with the class of the walk, given the frames and the person's condition."""
    result = task.gait(
        context.upload.files[0],
        model,
        condition=CONDITION.read(context.upload.options),
        text_models=_text_models(context),
        bounds=context.bounds,
    )
    encoder = result.condition.text_model
    models = (model, encoder) if encoder else (model,)
    provenance = joint_provenance(model, models, warnings_of(result.walk))
    return JsonReply(provenance, result.to_json())


def _text_models(context: RequestContext) -> Iterator[Model]:
    """Yield the models that embed texts; a lazy one is loaded when it is reached."""
    for name in context.repository:
        if context.tasks[name] == "sentence-similarity":
            yield context.repository[name]
