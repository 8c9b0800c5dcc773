"""Endpoints of the task routes: receive a body, parse its media, answer in a worker."""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import Response

from runtime import Model
from runtime.artifact.manifest import Task
from runtime.errors import UnavailableError
from runtime.media.decoders import Decoders
from runtime.media.images.decode import Photo, decode_photo
from runtime.predict.prepare import Bounds
from serve.http.body import receive_body
from serve.repository.models import ModelRepository, wait_for_model
from serve.routes.multi_file import answer_each
from serve.routes.replies import ImageReply as ImageReply  # the routes import it from here
from serve.routes.replies import JsonReply as JsonReply
from serve.scheduling.call import Call
from serve.scheduling.deadlines import HEADER, request_timeout
from serve.scheduling.job import Turns
from serve.settings import Settings
from serve.state import State
from serve.uploads.bounds import bounds_of
from serve.uploads.form import Form
from serve.uploads.parse import Upload, is_json, parse_upload, read_query

JSON_MARGIN_BYTES = 4096  # in a base64 body, for field names, options and heads of data URLs
LINE_BREAKS = 16  # a sixteenth of base64: four characters of JSON at the end of lines of 76


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestContext:
    """The upload of one request, and the models, settings and decoders to answer it with.

    The models belong to the request: their runs end when its client leaves.
    """

    upload: Upload
    repository: Mapping[str, Model]
    tasks: Mapping[str, Task]  # of the models, by id
    settings: Settings
    decoders: Decoders

    def photo(self) -> Photo:
        """Return the first file decoded.

        Raises:
            InputError: it is no image, or over a limit.
        """
        return decode_photo(self.upload.files[0], max_pixels=self.settings.max_pixels)

    @property
    def bounds(self) -> Bounds:
        """Return the limits of the media that are decoded, and the decoders."""
        return bounds_of(self.settings, self.decoders)


Answer = Callable[[RequestContext], JsonReply | ImageReply]  # runs in a worker
ModelAnswer = Callable[[RequestContext, Model], JsonReply | ImageReply]  # runs in a worker
Endpoint = Callable[[Request[State]], Awaitable[Response]]


def model_endpoint(
    answer: ModelAnswer, *, form: Form | Callable[[Model], Form], model_id: str | None = None
) -> Endpoint:
    """Return an endpoint that one model answers; if that is not served, it responds 404.

    Args:
        answer: makes the reply.
        form: the files and options that the route takes, or a function of the model.
        model_id: the model; None for the one that the path names.
    """

    async def respond(request: Request[State]) -> Response:
        name = model_id or request.path_params["model"]
        model = await wait_for_model(request.state["repository"], name)
        form_of_model = form if isinstance(form, Form) else form(model)
        return await _respond(
            request, form_of_model, lambda context: answer(context, context.repository[name]), name
        )

    return respond


def task_endpoint(
    answer: Answer, *, form: Form, lead: Callable[[Settings, ModelRepository], str]
) -> Endpoint:
    """Return an endpoint whose task chooses its models among those served, or needs none.

    Args:
        answer: makes the reply.
        form: the files and options that the route takes.
        lead: returns the id of the model in whose queue a request waits.
    """

    async def respond(request: Request[State]) -> Response:
        repository = request.state["repository"]
        model_id = lead(request.state["settings"], repository)
        if model_id in repository:
            with suppress(UnavailableError):  # the task may do without it
                await repository.wait_for(model_id)
        return await _respond(request, form, answer, model_id)

    return respond


async def _respond(request: Request[State], form: Form, answer: Answer, model_id: str) -> Response:
    """Let the request in, receive the body, then parse and answer it in a worker."""
    state = request.state
    settings, scheduler = state["settings"], state["scheduler"]
    content_type = request.headers.get("content-type", "")
    timeout_s = request_timeout(request.headers.get(HEADER))
    kind = f"{request.scope['path']} {model_id}"
    with scheduler.admit(
        model_id, kind=kind, media=form.is_recording, timeout_s=timeout_s
    ) as place:
        async with receive_body(
            request,
            limit_bytes=body_limit(content_type, settings),
            timeout_s=settings.timeout_s,
            budget=state["budget"],
        ) as body:

            def work(call: Call) -> Turns[Response]:
                upload = parse_upload(
                    body,
                    content_type=content_type,
                    query=read_query(request.scope["query_string"]),
                    form=form,
                    max_files=settings.max_files,
                )
                repository = call.bind_all(state["repository"])

                def answer_one(upload: Upload) -> JsonReply | ImageReply:
                    context = RequestContext(
                        upload=upload,
                        repository=repository,
                        tasks=state["repository"].tasks,
                        settings=settings,
                        decoders=state["decoders"].stopped_by(call.cancellation),
                    )
                    return answer(context)

                if isinstance(upload, Upload):
                    return answer_one(upload).response()
                return (yield from answer_each(upload, answer=answer_one))

            response, call = await scheduler.run(place, work, receive=request.receive)
    response.headers["Server-Timing"] = call.stopwatch.header()
    return response


def body_limit(content_type: str, settings: Settings) -> int:
    """Return the most bytes of a body; base64 in JSON has a third more, and line breaks."""
    if not is_json(content_type):
        return settings.max_upload_bytes
    base64_bytes = -(-settings.max_upload_bytes // 3) * 4
    return base64_bytes + base64_bytes // LINE_BREAKS + JSON_MARGIN_BYTES
