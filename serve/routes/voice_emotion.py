"""POST /v1/voice-emotion: the emotion of a voice, over a whole recording.

Its files, options and answer: serve/API.md.
"""

from runtime import Model
from runtime.tasks import voice_emotion as task
from serve.repository.provenance import provenance_of
from serve.routes.endpoint import JsonReply, RequestContext
from serve.uploads.form import Form
from serve.uploads.options import Number, Options, without_blanks

DEFAULT = task.Options()
WINDOW = Number(
    name="window_s",
    default=DEFAULT.window_s,
    least=task.WINDOW_S[0],
    most=task.WINDOW_S[1],
    unit="seconds",
    help="length of a window in seconds, 1 to 30",
)
OVERLAP = Number(
    name="overlap_s",
    default=DEFAULT.overlap_s,
    least=0.0,
    most=task.WINDOW_S[1] / 2,
    unit="seconds",
    help="overlap with the window before, in seconds, at most half of a window",
)
FORM = Form(("audio",), (WINDOW, OVERLAP), noun="sound")
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
    return task.Options(window_s=WINDOW.read(options), overlap_s=OVERLAP.read(options))
