"""Parse and answer the body of a task request, whoever waits for the answer."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace

from starlette.responses import Response

from runtime import Model
from runtime.artifact.manifest import Task
from runtime.errors import InputError
from runtime.media.decoders import Decoders
from runtime.media.images.decode import Photo, decode_photo
from runtime.media.isolation.pool import IsolatedDecoders
from runtime.predict.prepare import Bounds
from serve.cache.runs import Runs
from serve.repository.chosen import ChosenModels
from serve.repository.memory.pictures import picture_room
from serve.repository.models import ModelRepository
from serve.routes.multi_file import answer_each
from serve.routes.replies import ImageReply, JsonReply
from serve.routing.choice import Choice
from serve.scheduling.call import Call
from serve.scheduling.counting import counting
from serve.scheduling.job import Turns
from serve.settings import Settings
from serve.uploads.bounds import bounds_of
from serve.uploads.form import Form
from serve.uploads.parse import Upload, parse_upload, read_query


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
    decoding: Callable[[], AbstractContextManager[None]] = nullcontext  # times what reads a file

    def photo(self, *, with_alpha: bool = False) -> Photo:
        """Return the first file decoded, with its opacity if asked for.

        Raises:
            InputError: it is no image, or over a limit.
        """
        with self.decoding():
            return decode_photo(
                self.upload.files[0], max_pixels=self.settings.max_pixels, with_alpha=with_alpha
            )

    @property
    def bounds(self) -> Bounds:
        """Return the limits of the media that are decoded, and the decoders."""
        return bounds_of(self.settings, self.decoders, self.decoding)


Uploads = Upload | tuple[Upload | InputError, ...]
Answer = Callable[[RequestContext], JsonReply | ImageReply]  # runs in a worker


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRequest:
    """A request as its head and its route tell it; the body is still to come."""

    model_id: str  # in whose queue it waits
    path: str
    query: bytes
    content_type: str  # "" if the client sent none
    form: Form
    answer: Answer
    repository: ModelRepository
    choice: Choice  # of the version of each model
    task: Task  # whose setting decides whether the answer is stored
    by_all: bool = False  # whether any of the models may take part, not only `model_id`

    @property
    def kind(self) -> str:
        """Return the kind of work, whose time is measured."""
        return f"{self.path} {self.model_id}"

    def parse(self, body: bytes, settings: Settings) -> Uploads:
        """Return the files and options of a body.

        Raises:
            InputError: as `parse_upload`.
        """
        return parse_upload(
            body,
            content_type=self.content_type,
            query=read_query(self.query),
            form=self.form,
            max_files=settings.max_files,
        )

    def work(
        self,
        uploads: Callable[[], Uploads],
        settings: Settings,
        decoders: IsolatedDecoders,
        runs: Runs | None = None,
    ) -> Callable[[Call], Turns[Response]]:
        """Return the work of the request, for the scheduler.

        Args:
            uploads: returns the files and options; called in a worker.
            settings: with the limits of the request.
            decoders: of clips and sounds.
            runs: the runs that are stored, or are to be; None: none.
        """

        def work(call: Call) -> Turns[Response]:
            upload = uploads()
            recall = runs.recall if runs else None
            memory, pixel_bytes = self.repository.memory, self.form.pixel_bytes
            models = ChosenModels(self.repository, self.choice)

            def answer_one(upload: Upload) -> JsonReply | ImageReply:
                files, cancellation = upload.files, call.cancellation
                with picture_room(memory, files, cancellation, pixel_bytes=pixel_bytes) as room:
                    context = RequestContext(
                        upload=upload,
                        repository=replace(call, run_room=room, recall=recall).borrow_any(models),
                        tasks=self.repository.tasks,
                        settings=settings,
                        decoders=decoders.stopped_by(cancellation),
                        decoding=call.stopwatch.decoding,
                    )
                    with counting(self.repository.counts, call) as count:
                        reply = self.answer(context)
                        result = reply.result if isinstance(reply, JsonReply) else {}
                        count(reply.provenance.model, *map(result.get, ("label", "confidence")))
                    return reply

            if isinstance(upload, Upload):
                return answer_one(upload).response()
            if runs:
                runs.is_batch = True
            return (yield from answer_each(upload, answer=answer_one))

        return work
