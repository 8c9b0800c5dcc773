"""Endpoints of the task routes: receive a body, parse its media, answer in a worker."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial

from starlette.requests import Request
from starlette.responses import Response

from runtime import Model
from runtime.artifact.manifest import Task
from runtime.errors import UnavailableError
from serve.http.body import receive_body
from serve.http.leaving import leaving_of
from serve.http.log.notes import note_model, note_stages
from serve.jobs.headers import prefers_async
from serve.repository.models import ModelRepository, wait_for_model
from serve.routes.acceptance import accept_job
from serve.routes.cached import answer_cached
from serve.routes.replies import ImageReply as ImageReply  # the routes import these from here
from serve.routes.replies import JsonReply as JsonReply
from serve.routes.work import Answer, TaskRequest
from serve.routes.work import RequestContext as RequestContext
from serve.routing.choice import HEADER as CHOICE_HEADER
from serve.routing.choice import Choice
from serve.scheduling.deadlines import HEADER, request_timeout
from serve.settings import Settings
from serve.state import State
from serve.uploads.form import Form
from serve.uploads.parse import is_json

JSON_MARGIN_BYTES = 4096  # in a base64 body, for field names, options and heads of data URLs
LINE_BREAKS = 16  # a sixteenth of base64: four characters of JSON at the end of lines of 76

ModelAnswer = Callable[[RequestContext, Model], JsonReply | ImageReply]  # runs in a worker
Endpoint = Callable[[Request[State]], Awaitable[Response]]


def model_endpoint(
    answer: ModelAnswer,
    *,
    form: Form | Callable[[Model], Form],
    model_id: str | None = None,
    by_all: bool = False,
) -> Endpoint:
    """Return an endpoint that one model answers; if that is not served, it responds 404.

    Args:
        answer: makes the reply.
        form: the files and options that the route takes, or a function of the model.
        model_id: the model; None for the one that the path names.
        by_all: whether other models may take part.
    """

    async def respond(request: Request[State]) -> Response:
        name = model_id or request.path_params["model"]
        choice = choice_of(request)
        model = await wait_for_model(request.state["repository"], name, choice)
        form_of_model = form if isinstance(form, Form) else form(model)
        task: Task = model.spec.task
        del model  # while the request waits, its model may be evicted
        return await _respond(
            request,
            form_of_model,
            lambda context: answer(context, context.repository[name]),
            name,
            task,
            by_all=by_all,
            choice=choice,
        )

    return respond


def task_endpoint(
    answer: Answer,
    *,
    form: Form,
    lead: Callable[[Settings, ModelRepository], str],
    task: Task,
    by_all: bool = False,
    as_job: bool = False,
) -> Endpoint:
    """Return an endpoint whose task chooses its models among those served, or needs none.

    Args:
        answer: makes the reply.
        form: the files and options that the route takes.
        lead: returns the id of the model in whose queue a request waits.
        task: of the models; it decides whether answers are stored.
        by_all: whether other models than the lead may take part.
        as_job: whether every request is a job, as if the client preferred that.
    """

    async def respond(request: Request[State]) -> Response:
        repository = request.state["repository"]
        model_id = lead(request.state["settings"], repository)
        choice = choice_of(request)
        if model_id in repository:
            with suppress(UnavailableError):  # the task may do without it
                await repository.wait_for(model_id, choice)
        return await _respond(
            request, form, answer, model_id, task, choice=choice, by_all=by_all, as_job=as_job
        )

    return respond


def choice_of(request: Request[State], version: int | None = None) -> Choice:
    """Return the choice of the version that answers a request; `version` is one that it names."""
    return Choice.of(request.headers.get(CHOICE_HEADER), version)


async def _respond(
    request: Request[State],
    form: Form,
    answer: Answer,
    model_id: str,
    task_name: Task,
    *,
    choice: Choice,
    by_all: bool,
    as_job: bool = False,
) -> Response:
    """Let the request in, receive the body, then parse and answer it in a worker."""
    state = request.state
    settings, scheduler = state["settings"], state["scheduler"]
    if model_id in state["repository"]:
        note_model(request.scope, model_id)
    state["repository"].memory.check()
    task = TaskRequest(
        model_id=model_id,
        path=request.scope["path"],
        query=request.scope["query_string"],
        content_type=request.headers.get("content-type", ""),
        form=form,
        answer=answer,
        repository=state["repository"],
        task=task_name,
        by_all=by_all,
        choice=choice,
    )
    if settings.jobs and (as_job or prefers_async(request.headers)):
        return await accept_job(request, task, lambda: _body(request, task))
    timeout_s = request_timeout(request.headers.get(HEADER))
    with scheduler.admit(
        model_id, kind=task.kind, media=form.is_recording, timeout_s=timeout_s
    ) as place:
        async with _body(request, task) as body:
            if state["cache"].covers(task.task):
                return await answer_cached(request, task, place, body)
            work = task.work(partial(task.parse, body, settings), settings, state["decoders"])
            response, call = await scheduler.run(place, work, leaving=leaving_of(request))
    note_stages(request.scope, call.stopwatch.stages_s)
    response.headers["Server-Timing"] = call.stopwatch.header()
    return response


def _body(request: Request[State], task: TaskRequest) -> AbstractAsyncContextManager[bytes]:
    settings = request.state["settings"]
    return receive_body(
        request,
        limit_bytes=body_limit(task.content_type, settings),
        timeout_s=settings.timeout_s,
        budget=request.state["budget"],
    )


def body_limit(content_type: str, settings: Settings) -> int:
    """Return the most bytes of a body; base64 in JSON has a third more, and line breaks."""
    if not is_json(content_type):
        return settings.max_upload_bytes
    base64_bytes = -(-settings.max_upload_bytes // 3) * 4
    return base64_bytes + base64_bytes // LINE_BREAKS + JSON_MARGIN_BYTES
