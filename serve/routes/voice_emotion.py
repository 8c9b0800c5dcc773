"""POST /v1/voice-emotion: the emotion of a voice, over a whole recording.

Its files, options and answer: serve/API.md.
"""

from runtime import Model
from runtime.tasks import voice_emotion as task
from serve.repository.provenance import provenance_of
from serve.routes.endpoint import JsonReply, RequestContext
from serve.uploads.form import Form
from serve.uploads.options import Options, number, without_blanks

OPTIONS = ("window_s", "overlap_s")
FORM = Form(("audio",), OPTIONS, noun="sound")
SILENT = "the sound is silent: it gets no emotion"


def voice_emotion(context: RequestContext, model: Model) -> JsonReply:
    """Answer with the emotion of each window and of the whole recording."""
    options = _task_options(without_blanks(context.upload.options))
    result = task.voice_emotion(
        model, context.upload.files[0], options=options, bounds=context.bounds
    )
    warnings = (*result.media_warnings, *(() if result.overall else (SILENT,)))
    return JsonReply(provenance_of(model, warnings), result.to_json())


def _task_options(options: Options) -> task.Options:
    default = task.Options()
    return task.Options(
        window_s=number(options, "window_s", default.window_s, unit="seconds"),
        overlap_s=number(options, "overlap_s", default.overlap_s, unit="seconds"),
    )
