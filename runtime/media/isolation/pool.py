"""The decoders of `runtime.media.decoders` in worker processes, one for each running request."""

import copy
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from functools import partial
from itertools import islice
from typing import Any, Self

import numpy as np

from runtime.arrays import Waveform
from runtime.artifact.schema import to_json
from runtime.artifact.steps import Step
from runtime.engine.cancellation import Cancellation
from runtime.engine.resources import cpu_count
from runtime.errors import ArtifactError, DecodeError, TooLargeError, UnavailableError
from runtime.media.audio import decode as audio
from runtime.media.audio.parts.wav import is_plain_wav
from runtime.media.isolation.clips import ClipRequest, read_sampled
from runtime.media.isolation.process import (
    SUPPORTED,
    Budget,
    WorkerDiedError,
    WorkerLostError,
    WorkerProcess,
)
from runtime.media.isolation.sounds import SoundRequest
from runtime.media.isolation.wire import REFUSALS, Message, WireError, read_array, read_warnings
from runtime.media.isolation.workers import Workers
from runtime.media.video import sample as video
from runtime.media.video.sample import SampledFrames, VideoLimits

JOBS = "runtime.media.isolation.jobs"
TIMEOUT_S = 20.0
ALARM_MARGIN_S = 10.0
MEMORY_BYTES = 512 * 2**20  # the video decoder keeps up to 17 frames of 14 MiB (4096 x 2304 px)
HUNG_WORKERS = 2  # that take the place of no other file: workers may be this many more than CPUs
IDLE_S = 30.0  # after which an idle worker gives its memory back; a new one starts in 0.1 s
_SOUND_PACE = 10.0  # seconds of sound that allow another second of decoding
_INVALID_REPLY = "the file cannot be decoded: the decoder process sent an invalid reply"

Room = Callable[[Cancellation, int], AbstractContextManager[None]]


def _any_room(cancellation: Cancellation, file_bytes: int) -> nullcontext[None]:
    return nullcontext()


class IsolatedDecoders:
    """Decoders in worker processes; the pool starts one when a request finds none idle.

    Uncompressed WAV files need no decoder and are read in this process. On systems without the
    process control that workers need (Windows), this process decodes everything.
    """

    def __init__(
        self,
        *,
        timeout_s: float = TIMEOUT_S,
        memory_bytes: int = MEMORY_BYTES,
        jobs: str = JOBS,
        alarm_margin_s: float = ALARM_MARGIN_S,
        workers: int | None = None,
        idle_s: float = IDLE_S,
        clip_room: Room = _any_room,
        sound_room: Room = _any_room,
    ) -> None:
        """Create a pool without workers.

        Args:
            timeout_s: seconds that the decoding of one file may take; a sound may take a second
                more for every ten seconds that it lasts. As many seconds may pass before it starts.
            memory_bytes: memory that a worker may use, besides the file and one copy of it.
            jobs: the module whose JOBS the workers offer.
            alarm_margin_s: seconds after timeout_s when a worker ends itself, for when this
                process was killed and cannot kill it.
            workers: the most processes at a time; None for HUNG_WORKERS more than CPUs.
            idle_s: seconds after which an idle worker ends.
            clip_room: makes a context in which a worker has the memory to decode a clip, from the
                bytes of its file.
            sound_room: the same for a sound.
        """
        self._timeout_s = timeout_s
        self._memory_bytes = memory_bytes
        self._cancellation = Cancellation()
        self._clip_room, self._sound_room = clip_room, sound_room
        self._workers = Workers(
            partial(WorkerProcess, jobs=jobs, alarm_s=timeout_s + alarm_margin_s),
            most=workers or cpu_count() + HUNG_WORKERS,
            idle_s=idle_s,
        )

    def stopped_by(self, cancellation: Cancellation) -> Self:
        """Return decoders with the same workers, whose requests the cancellation ends."""
        bound = copy.copy(self)
        bound._cancellation = cancellation
        return bound

    def stream_audio(
        self,
        data: bytes,
        *,
        sampling_rate: int,
        max_seconds: float,
        warn: Callable[[str], None] = audio.ignore_warning,
    ) -> Iterator[Waveform]:
        """Decode a sound as `runtime.media.audio.decode.stream_audio` does.

        Raises:
            DecodeError: also if the worker crashes or sends an invalid reply.
            TooLargeError: also if decoding takes too long.
            CancelledError, UnavailableError: as `ask`.
        """
        if is_plain_wav(data) or not SUPPORTED:
            for block in audio.stream_audio(
                data, sampling_rate=sampling_rate, max_seconds=max_seconds, warn=warn
            ):
                self._cancellation.check()
                yield block
            return
        arguments = to_json(SoundRequest(sampling_rate, max_seconds))
        budget, samples_left = Budget(self._timeout_s), (max_seconds + 1) * sampling_rate
        with (
            self._sound_room(self._cancellation, len(data)),
            closing(self.ask("sound", arguments, data, budget)) as parts,
        ):
            for part in parts:
                block, warnings = _read_block(part, max_samples=samples_left)
                for warning in warnings:
                    warn(warning)
                samples_left -= block.size
                budget.allowed_s += block.size / sampling_rate / _SOUND_PACE
                yield block

    def sample_frames(
        self, data: bytes, *, count: int, steps: Sequence[Step], limits: VideoLimits
    ) -> SampledFrames:
        """Sample a clip as `runtime.media.video.sample.sample_frames` does.

        Raises:
            DecodeError: also if the worker crashes or sends an invalid reply.
            TooLargeError: also if decoding takes too long.
            CancelledError, UnavailableError: as `ask`.
        """
        if not SUPPORTED:
            return video.sample_frames(data, count=count, steps=steps, limits=limits)
        arguments = to_json(ClipRequest(count, tuple(steps), limits))
        sampled = None
        budget = Budget(self._timeout_s)
        with (
            self._clip_room(self._cancellation, len(data)),
            closing(self.ask("clip", arguments, data, budget)) as parts,
        ):
            for part in parts:
                if sampled is not None:
                    raise DecodeError(_INVALID_REPLY)
                sampled = _read_sampled(part)
        if sampled is None:
            raise DecodeError(_INVALID_REPLY)
        return sampled

    def ask(
        self, job: str, arguments: Mapping[str, Any], data: bytes, budget: Budget
    ) -> Generator[Message, None, None]:
        """Run a job on a file in a worker and yield the parts of its answer as they arrive.

        The worker serves later requests only if this generator runs to its end; a caller that
        stops early closes it, which kills the worker. If a worker does not start or is killed from
        outside, a new one repeats the job within the same seconds again, and the parts that the
        caller has are left out: a job answers a file with the same parts every time.

        Raises:
            InputError: the worker refused the file, crashed on it, or took too long.
            UnavailableError: two workers were lost, or none was free in time.
            CancelledError: the cancellation ended the work.
            RuntimeError: the job has a bug; the message holds the worker's traceback.
        """
        memory_bytes = self._memory_bytes + 2 * len(data)
        fields = {"job": job, "arguments": arguments, "memory_bytes": memory_bytes}
        request = Message("request", fields, data)
        delivered = 0
        with self._workers.place(self._cancellation, wait_s=self._timeout_s):
            try:
                with closing(self._ask_worker(request, budget, fresh=False)) as parts:
                    for part in parts:
                        delivered += 1
                        yield part
            except WorkerLostError:
                self._cancellation.check()
            else:
                return
            budget.spent_s = 0.0
            try:
                with closing(self._ask_worker(request, budget, fresh=True)) as parts:
                    yield from islice(parts, delivered, None)
            except WorkerLostError as error:
                self._cancellation.check()
                raise UnavailableError(
                    f"the file was not decoded, in two attempts: {error}; try again later",
                    reason="decoder",
                ) from None

    def _ask_worker(
        self, request: Message, budget: Budget, *, fresh: bool
    ) -> Generator[Message, None, None]:
        reply = request
        with self._workers.lend(self._cancellation, fresh=fresh) as worker:
            try:
                for reply in worker.ask(request, budget):
                    self._cancellation.check()
                    if reply.kind == "part":
                        yield reply
            except TimeoutError:
                raise TooLargeError(
                    f"the file took longer to decode than is allowed: {self._timeout_s:g} s"
                ) from None
            except WorkerDiedError as error:
                raise DecodeError(f"the file cannot be decoded: {error}") from None
        _check_end(reply)

    @property
    def started(self) -> int:
        """Return how many processes were started so far."""
        return self._workers.started

    @property
    def killed(self) -> int:
        """Return how many of them ended over a file, with their request, or from outside."""
        return self._workers.killed

    def close(self) -> None:
        """Kill the idle workers now, and each busy one as soon as its request ends."""
        self._workers.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _read_block(part: Message, *, max_samples: float) -> tuple[Waveform, tuple[str, ...]]:
    """Return the samples of a reply, (S,) float32, and warnings; refuse others as invalid."""
    try:
        block, warnings = read_array(part), read_warnings(part)
    except WireError:
        raise DecodeError(_INVALID_REPLY) from None
    if block.dtype != np.float32 or block.ndim != 1 or block.size > max_samples:
        raise DecodeError(_INVALID_REPLY)
    return block, warnings


def _read_sampled(part: Message) -> SampledFrames:
    """Return the frames of a reply; raise DecodeError if it is invalid."""
    try:
        return read_sampled(part)
    except (WireError, ArtifactError):
        raise DecodeError(_INVALID_REPLY) from None


def _check_end(reply: Message) -> None:
    """Raise the error that the last reply of an answer names; a RuntimeError for a bug."""
    if reply.kind == "refusal":
        error = REFUSALS.get(str(reply.fields.get("error")), DecodeError)
        raise error(str(reply.fields.get("message")))
    if reply.kind != "end":
        raise RuntimeError(f"a worker failed:\n{reply.fields.get('traceback')}")
