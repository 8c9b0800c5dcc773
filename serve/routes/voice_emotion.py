"""POST /v1/voice-emotion: the emotion of a voice, over a whole recording."""

import math

from runtime.errors import InputError
from runtime.tasks import voice_emotion as task
from serve.catalog.facts import facts_of
from serve.routes.endpoint import Call, Reply
from serve.text.quoting import quoted
from serve.uploads.parse import Form

OPTIONS = ("window_s", "overlap_s")
FORM = Form(("audio",), OPTIONS, noun="sound")
SILENT = "the sound is silent: no emotion is told from it"


def voice_emotion(call: Call) -> Reply:
    """Window by window, and overall."""
    options = _parsed(call)
    result = task.voice_emotion(
        call.model, call.upload.files[0], options=options, bounds=call.bounds
    )
    warnings = () if result.overall else (SILENT,)
    return Reply(facts_of(call.model, warnings), result.to_json())


def _parsed(call: Call) -> task.Options:
    given = {name: text for name, text in call.upload.options.items() if text.strip()}
    return task.Options(**{name: _seconds(name, text) for name, text in given.items()})


def _seconds(name: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise InputError(f"{name} is {quoted(text)}; allowed: a number of seconds")
    return seconds
