"""What the task routes have in common: a body received, its media parsed, answered by a worker."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from starlette.requests import Request
from starlette.responses import Response

from runtime import Model
from runtime.errors import InputError
from runtime.media.decoders import Decoders
from runtime.media.images.decode import decode_image
from runtime.media.video.sample import Limits
from runtime.predict.prepare import Bounds
from serve.catalog.catalog import Catalog, find
from serve.http.body import received
from serve.routes.replies import Picture as Picture  # what the routes answer with comes from here
from serve.routes.replies import Reply as Reply
from serve.routes.several_files import answer_each
from serve.settings import Settings
from serve.state import State
from serve.uploads.parse import Form, Upload, is_json, parse_upload

JSON_MARGIN_BYTES = 4096  # of a base64 body: field names, options, the beginning of data URLs
FRAMES_PER_SECOND = 60  # of a clip, at most: what the newest phones take


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One request, as a worker answers it; which models it takes is the task's affair."""

    upload: Upload
    catalog: Catalog
    settings: Settings
    decoders: Decoders

    def image(self, index: int = 0) -> NDArray[np.uint8]:
        """(H, W, 3) uint8 RGB of the file at `index`.

        Raises:
            InputError: it is no image, or over a limit.
        """
        return decode_image(self.upload.files[index], max_pixels=self.settings.max_pixels)

    @property
    def bounds(self) -> Bounds:
        """The largest media decoded, and who decodes them."""
        settings = self.settings
        video = Limits(
            frames=FRAMES_PER_SECOND * settings.max_video_s,
            seconds=settings.max_video_s,
            pixels=min(settings.max_pixels, Limits().pixels),
            deadline_s=settings.decode_timeout_s,
            chunk=settings.chunk_size,
        )
        return Bounds(
            pixels=settings.max_pixels,
            audio_s=settings.longest_run_s,
            video=video,
            recording_s=settings.max_audio_s,
            decoders=self.decoders,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Call(Asked):
    """One request to a model, which is there: an absent one was answered 404."""

    model: Model  # the route's own, or the one that the path names


Answer = Callable[[Call], Reply | Picture]  # runs in a worker
TaskAnswer = Callable[[Asked], Reply | Picture]  # so does this
Uploads = tuple[Upload | InputError, ...]
Endpoint = Callable[[Request[State]], Awaitable[Response]]


def media_endpoint(
    answer: Answer, *, form: Form | Callable[[Model], Form], model_id: str | None = None
) -> Endpoint:
    """An endpoint that takes media in any of the three forms and answers from a worker.

    Args:
        answer: from the media to the reply.
        form: what the route takes, or what a model makes of it.
        model_id: who answers; None for the model that the path names.
    """

    async def respond(request: Request[State]) -> Response:
        state = request.state
        model = find(state["catalog"], model_id or request.path_params["model"])
        taken = form if isinstance(form, Form) else form(model)

        def told(upload: Upload) -> Reply | Picture:
            return answer(
                Call(
                    model=model,
                    upload=upload,
                    catalog=state["catalog"],
                    settings=state["settings"],
                    decoders=state["decoders"],
                )
            )

        return await _respond(request, taken, told)

    return respond


def task_endpoint(answer: TaskAnswer, *, form: Form) -> Endpoint:
    """The same for a task that has an answer where its model is absent, or that takes several.

    Args:
        answer: from the media and the catalog to the reply; finds its models itself.
        form: what the route takes.
    """

    async def respond(request: Request[State]) -> Response:
        state = request.state

        def told(upload: Upload) -> Reply | Picture:
            return answer(
                Asked(
                    upload=upload,
                    catalog=state["catalog"],
                    settings=state["settings"],
                    decoders=state["decoders"],
                )
            )

        return await _respond(request, form, told)

    return respond


async def _respond(
    request: Request[State], form: Form, told: Callable[[Upload], Reply | Picture]
) -> Response:
    """Receive the body; parse and answer it in a worker, several files one after the other."""
    state = request.state
    settings = state["settings"]
    content_type = request.headers.get("content-type", "")
    async with received(
        request,
        limit_bytes=_body_limit(content_type, settings),
        timeout_s=settings.timeout_s,
        budget=state["budget"],
    ) as body:

        def work() -> Response | Uploads:
            uploads = parse_upload(
                body,
                content_type=content_type,
                query=request.query_params.multi_items(),
                form=form,
                max_files=settings.max_files,
            )
            return told(uploads).response() if isinstance(uploads, Upload) else uploads

        done = await state["pool"].run(work)
        if isinstance(done, Response):
            return done
        return await answer_each(done, answer=told, run=state["pool"].run)


def one_of(options: Mapping[str, str], names: tuple[str, ...]) -> str | None:
    """The value of an option that has several names, None where it is absent or blank.

    Raises:
        InputError: two of the names are given and differ.
    """
    given = {options[name].strip() for name in names if name in options}
    if len(given) > 1:
        raise InputError(f"{' and '.join(names)} differ; allowed: one of them")
    return next(iter(given), "") or None


def _body_limit(content_type: str, settings: Settings) -> int:
    if not is_json(content_type):
        return settings.max_upload_bytes
    return -(-settings.max_upload_bytes // 3) * 4 + JSON_MARGIN_BYTES
