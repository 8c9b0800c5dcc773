"""Accept a request whose client does not wait: 202, and the address of its job."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from serve.jobs.fingerprint import fingerprint_of
from serve.jobs.headers import APPLIED, idempotency_key
from serve.jobs.record import Record
from serve.keys.guard import owner_of
from serve.routes.jobs import holder_of, job_response, path_of
from serve.routes.work import TaskRequest
from serve.scheduling.deadlines import HEADER, request_timeout
from serve.state import State
from serve.workers.siblings import is_passed_on

MAX_LENGTH_DIGITS = 10  # of a Content-Length that is believed before the body is received
SMALL_BYTES = 2**20  # of a body, for which the reserve of memory has room

Body = Callable[[], AbstractAsyncContextManager[bytes]]


async def accept_job(request: Request[State], task: TaskRequest, receive: Body) -> Response:
    """Receive the body, start the job, and respond 202.

    Args:
        request: from whose head `task` was made.
        task: the task.
        receive: receives the body.

    Raises:
        OverloadedError: there is no room for the job; before its body is read, where that is known.
        UnavailableError: it leaves too little memory.
        UnprocessableError: its Idempotency-Key belongs to another request.
    """
    jobs, client = request.state["jobs"], holder_of(request)
    key = idempotency_key(request.headers)
    if key is not None and (owner := owner_of(request.scope)):
        key = f"{key} of {owner}"  # each has keys of its own
    siblings = request.state["siblings"]
    # whichever worker is asked: the one that keeps the key alone knows whether it is used
    if key is not None and not is_passed_on(request) and siblings.keeper_of(key) != siblings.own:
        async with receive() as body:
            return await siblings.ask(siblings.keeper_of(key), request, body)
    timeout_s = request_timeout(request.headers.get(HEADER))
    await jobs.check_room(client, _announced_bytes(request), key)
    async with receive() as body:
        record = await _submit(request, task, body, key=key, timeout_s=timeout_s)
    headers = {**APPLIED, "Location": path_of(request, record.id)}
    return job_response(request, record, status=202, headers=headers)


async def _submit(
    request: Request[State],
    task: TaskRequest,
    body: bytes,
    *,
    key: str | None,
    timeout_s: float | None,
) -> Record:
    state, fingerprint = request.state, None
    settings = state["settings"].for_jobs()
    if key is not None:
        fingerprint = await asyncio.to_thread(
            fingerprint_of, task.path, task.query, task.content_type, body
        )
    jobs, memory = state["jobs"], state["repository"].memory
    if memory.limits and len(body) > SMALL_BYTES:
        await asyncio.to_thread(memory.make_room, len(body), "a job with this body")
    place = state["scheduler"].background_place(
        task.model_id,
        kind=f"job {task.kind}",
        timeout_s=min(jobs.timeout_s, timeout_s or jobs.timeout_s),
        media=task.form.is_recording,
    )
    return await jobs.submit(
        place,
        task.work(partial(task.parse, body, settings), settings, state["job_decoders"]),
        client=holder_of(request),
        body_bytes=len(body) + len(task.query) + len(task.content_type),
        key=key,
        fingerprint=fingerprint,
    )


def _announced_bytes(request: Request[State]) -> int:
    """Return the bytes of the body that is to come, as far as the head tells."""
    text = request.headers.get("content-length", "")
    return int(text) if text.isdecimal() and len(text) <= MAX_LENGTH_DIGITS else 0
