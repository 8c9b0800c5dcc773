"""Answer several files of one request, one after the other; a bad file does not lose the others."""

import base64
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, TypedDict

from starlette.responses import Response

from runtime.errors import CancelledError, InputError, TooLargeError
from serve.errors import INTERNAL, json_response, status_of
from serve.repository.provenance import AnswerProvenance
from serve.routes.replies import ImageReply, JsonReply
from serve.scheduling.job import Turns
from serve.uploads.parse import Upload

MAX_IMAGE_BYTES = 32 * 2**20  # of the encoded images of one response; base64 makes them 4/3

_log = logging.getLogger(__name__)


class CutOutJson(TypedDict):
    """An encoded picture."""

    media_type: str
    image: Annotated[str, "base64"]


@dataclass(frozen=True, slots=True)
class FileAnswer:
    """The entry of one file in the response: an answer, or an error."""

    provenance: AnswerProvenance | None  # None: an error
    content: dict[str, Any]
    image_bytes: int = 0


def answer_each(
    uploads: Sequence[Upload | InputError],
    *,
    answer: Callable[[Upload], JsonReply | ImageReply],
) -> Turns[Response]:
    """Return the response for several files, a turn each. Turns of other requests come between.

    Args:
        uploads: in order; an error in place of a file that the body does not hold well formed.
        answer: makes the reply to one upload.
    """
    answers: list[FileAnswer] = []
    for index, upload in enumerate(uploads):
        yield len(uploads) - index
        room_bytes = MAX_IMAGE_BYTES - sum(entry.image_bytes for entry in answers)
        answers.append(_answer_file(upload, answer, room_bytes))
    content = {"results": [entry.content for entry in answers]}
    provenance = _join_provenance([entry.provenance for entry in answers if entry.provenance])
    return json_response(content, headers=provenance.headers if provenance else None)


def _answer_file(
    upload: Upload | InputError,
    answer: Callable[[Upload], JsonReply | ImageReply],
    room_bytes: int,
) -> FileAnswer:
    if isinstance(upload, InputError):
        return _error_answer(upload)
    try:
        return _reply_answer(answer(upload), room_bytes)
    except CancelledError:  # nobody waits for the others either
        raise
    except Exception as error:  # a fault in one file must not lose the others
        return _error_answer(error)


def _error_answer(error: Exception) -> FileAnswer:
    status = status_of(error)
    if status is None:
        _log.error("one of several files was not answered", exc_info=error)
        return FileAnswer(None, {"error": INTERNAL, "status": 500})
    return FileAnswer(None, {"error": str(error), "status": status})


def _reply_answer(reply: JsonReply | ImageReply, room_bytes: int) -> FileAnswer:
    """Return the entry of a reply, an image in base64.

    Raises:
        TooLargeError: the image is larger than the room that the others leave.
    """
    if isinstance(reply, JsonReply):
        return FileAnswer(reply.provenance, {**reply.provenance.to_json(), "result": reply.result})
    size = len(reply.data)
    if size > room_bytes:
        raise TooLargeError(
            f"the picture has {size} bytes; allowed for all of one answer: {MAX_IMAGE_BYTES}; "
            "send this file by itself"
        )
    encoded = base64.b64encode(reply.data).decode()
    result: CutOutJson = {"media_type": reply.media_type, "image": encoded}
    return FileAnswer(reply.provenance, {**reply.provenance.to_json(), "result": result}, size)


def _join_provenance(provenances: Sequence[AnswerProvenance]) -> AnswerProvenance | None:
    """Return the first provenance with the warnings of all; None if there is none."""
    if not provenances:
        return None
    warnings = dict.fromkeys(warning for one in provenances for warning in one.warnings)
    return replace(provenances[0], warnings=tuple(warnings))
