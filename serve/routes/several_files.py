"""Several files in one request: each answered by itself, in their order, or refused by itself."""

import base64
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from starlette.responses import Response

from runtime.artifact.schema import to_json
from runtime.errors import InputError, TooLargeError
from serve.catalog.facts import Facts
from serve.errors import INTERNAL, json_response, status_of
from serve.routes.replies import Picture, Reply
from serve.uploads.parse import Upload

PICTURES_BYTES = 32 * 2**20  # of one answer, encoded; in base64 they are 4/3 of it

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Item:
    """What became of one file."""

    facts: Facts | None  # None: refused
    content: dict[str, Any]
    picture_bytes: int = 0


async def answer_each(
    uploads: Sequence[Upload | InputError],
    *,
    answer: Callable[[Upload], Reply | Picture],
    run: Callable[[Callable[[], Item]], Awaitable[Item]],
) -> Response:
    """Answer one file after the other; each takes its turn with other requests.

    Args:
        uploads: in order; an error for what is no upload.
        answer: to one of them.
        run: where work is done.
    """
    items: list[Item] = []
    for upload in uploads:
        room = PICTURES_BYTES - sum(item.picture_bytes for item in items)
        items.append(await _answered(upload, answer, run, room))
    content = {"results": [item.content for item in items]}
    facts = _joined([item.facts for item in items if item.facts])
    return json_response(content, headers=facts.headers if facts else None)


async def _answered(
    upload: Upload | InputError,
    answer: Callable[[Upload], Reply | Picture],
    run: Callable[[Callable[[], Item]], Awaitable[Item]],
    room_bytes: int,
) -> Item:
    if isinstance(upload, InputError):
        return _refused(upload)
    try:
        return await run(lambda: _item(answer(upload), room_bytes))
    except Exception as error:  # one file must not lose the others
        return _refused(error)


def _refused(error: Exception) -> Item:
    status = status_of(error)
    if status is None:
        _log.error("one of several files was not answered", exc_info=error)
        return Item(None, {"error": INTERNAL, "status": 500})
    return Item(None, {"error": str(error), "status": status})


def _item(reply: Reply | Picture, room_bytes: int) -> Item:
    if isinstance(reply, Reply):
        return Item(reply.facts, {**to_json(reply.facts), "result": reply.result})
    size = len(reply.data)
    if size > room_bytes:
        raise TooLargeError(
            f"the picture has {size} bytes; allowed for all of one answer: {PICTURES_BYTES}; "
            "send this file by itself"
        )
    encoded = base64.b64encode(reply.data).decode()
    result = {"media_type": reply.media_type, "image": encoded}
    return Item(reply.facts, {**to_json(reply.facts), "result": result}, size)


def _joined(facts: Sequence[Facts]) -> Facts | None:
    """The first, with the warnings of all."""
    if not facts:
        return None
    warnings = dict.fromkeys(warning for one in facts for warning in one.warnings)
    return replace(facts[0], warnings=tuple(warnings))
