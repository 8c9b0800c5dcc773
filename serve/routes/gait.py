"""POST /v1/gait, and POST /predict as deployments before it had it: how a person walks.

Its files, options and answer: serve/API.md.
"""

from runtime.tasks import gait as task
from serve.catalog.facts import facts_of_several
from serve.routes.endpoint import Call, Reply, one_of
from serve.routes.predict import CONDITION
from serve.uploads.parse import Form

FORM = Form(("video",), CONDITION, noun="video")


def gait(call: Call) -> Reply:
    """By the frames that the model asks for, and what is known about the person."""
    result = task.gait(
        call.upload.files[0],
        call.model,
        condition=one_of(call.upload.options, CONDITION),
        text_models=call.catalog.values(),
        bounds=call.bounds,
    )
    encoder = result.condition.text_model
    models = (call.model, encoder) if encoder else (call.model,)
    return Reply(facts_of_several(call.model, models), result.to_json())
