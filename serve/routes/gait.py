"""POST /v1/gait, and POST /predict as deployments before it had it: how a person walks.

The `video` may come with a `condition` of the person, also called `clinical_condition`: a name or
synonym that the model knows (GET /v1/models/<model> lists them), whatever its case; or, where a
text model is served whose embeddings the gait model understands, any text.

The `result`:

- `predicted_class`, also called `label`; `confidence`; `probabilities` by label;
- `condition`: the known name or the text, null where nothing was told; `condition_read`: what was
  `given`, what it was `read_as` (`nothing`, `name` or `text`), the known `name`, and the
  `text_model` (`model`, `version`, `digest`), each null where there is none;
- `frames`: the `indices` (from 0) and `times_s` (from the first frame) of the frames that the
  model saw, of the `clip_frames` in all; `sought`: whether those between were left undecoded.
"""

from runtime.tasks import gait as task
from serve.endpoint import Call, Reply, one_of
from serve.media import Form
from serve.models import facts_of_several
from serve.routes.predict import CONDITION

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
