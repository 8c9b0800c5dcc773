"""GET and DELETE /v1/jobs/{job}, and GET /v1/jobs/{job}/result."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, NotRequired, TypedDict

import orjson
from starlette.requests import Request
from starlette.responses import Response

from serve.errors import NotFoundError, error_response, json_response
from serve.http.budget import client_of
from serve.jobs.ids import worker_of
from serve.jobs.jobs import JobState
from serve.jobs.record import Answer, Record
from serve.keys.guard import owner_of
from serve.keys.ring import ADMINISTRATOR
from serve.state import State
from serve.text.messages import repr_truncated

JOB_PATH = "/v1/jobs/{job}"
RESULT_PATH = "/v1/jobs/{job}/result"
_FRESH = {"Cache-Control": "no-store"}


class JobJson(TypedDict):
    """A job: how far it is and, at its end, until when it is kept."""

    id: Annotated[str, "a secret: who has it can read the answer"]
    state: JobState
    submitted: str
    result: Annotated[str, "the address of the answer"]
    expires: NotRequired[str]
    error: NotRequired[Annotated[str, "of a job that failed"]]
    status: NotRequired[Annotated[int, "that the request would have got"]]


async def show_job(request: Request[State]) -> Response:
    """Answer GET: how far the job is."""
    record = await _find(request, with_body=False)
    return job_response(request, record)


async def job_result(request: Request[State]) -> Response:
    """Answer GET: what the request would have got, had its client waited; 409 before its end."""
    jobs = request.state["jobs"]
    record = await _find(request)
    if record.answer is None:
        message = f"the job is {jobs.state(record)}; allowed: to fetch its result when it is done"
        return error_response(message, status=409, headers=_waiting(request, record))
    if request.method == "GET":
        await jobs.mark_fetched(record.id)
    return record.answer.response()


async def cancel_job(request: Request[State]) -> Response:
    """Answer DELETE: stop the job if it waits or runs, and forget it."""
    record = await _find(request, with_body=False)
    await request.state["jobs"].cancel(record.id)
    return Response(status_code=204)


async def _find(request: Request[State], *, with_body: bool = True) -> Record:
    """Return the job of the path.

    Raises:
        NotFoundError: nobody gave out its id; or it was sent with another API key.
        GoneError: the job expired or was deleted, or is lost.
    """
    job_id = request.path_params["job"]
    record = await request.state["jobs"].get(job_id, with_body=with_body)
    owner = owner_of(request.scope)
    if owner not in (None, ADMINISTRATOR) and record.client != holder_of(request):
        raise NotFoundError(f"no job {repr_truncated(job_id)}")
    return record


def holder_of(request: Request[State]) -> str:
    """Return whose a job is: the owner of the API key, or the address where there are none."""
    owner = owner_of(request.scope)
    return f"key {owner}" if owner else client_of(request.scope)


def worker(request: Request[State]) -> int | None:
    """Return the number of the worker that has the job of the path; None if no id names one."""
    return worker_of(request.path_params["job"])


def path_of(request: Request[State], job_id: str) -> str:
    """Return the path of a job, as clients reach it."""
    prefix: str = request.scope.get("root_path", "")
    return prefix + JOB_PATH.format(job=job_id)


def job_response(
    request: Request[State],
    record: Record,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the response that tells how far a job is."""
    content: JobJson = {
        "id": record.id,
        "state": request.state["jobs"].state(record),
        "submitted": _time_text(record.submitted_s),
        "result": f"{path_of(request, record.id)}/result",
    }
    more = {**_FRESH, **(headers or {})}
    if record.answer is None:
        return json_response(content, status=status, headers={**more, **_waiting(request, record)})
    expires_s = (record.ended_s or 0.0) + request.state["settings"].job_ttl_s
    content["expires"] = _time_text(expires_s)
    if record.answer.status >= 400:
        content["error"] = _message_of(record.answer)
        content["status"] = record.answer.status
    return json_response(content, status=status, headers=more)


def _waiting(request: Request[State], record: Record) -> Mapping[str, str]:
    return {**_FRESH, "Retry-After": str(request.state["jobs"].retry_after_s(record))}


def _message_of(answer: Answer) -> str:
    message: str = orjson.loads(answer.body)["error"]
    return message


def _time_text(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
