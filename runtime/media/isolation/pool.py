"""The decoders of `runtime.media.decoders` in worker processes, one for each running request."""

import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any, Self

import numpy as np

from runtime.arrays import Waveform
from runtime.artifact.schema import to_json
from runtime.artifact.steps import Step
from runtime.errors import ArtifactError, DecodeError, TooLargeError
from runtime.media.audio import decode as audio
from runtime.media.audio.parts.wav import is_plain_wav
from runtime.media.isolation.clips import ClipRequest, read_sampled
from runtime.media.isolation.process import SUPPORTED, Budget, WorkerDiedError, WorkerProcess
from runtime.media.isolation.sounds import SoundRequest
from runtime.media.isolation.wire import REFUSALS, Message, WireError, read_array, read_warnings
from runtime.media.video import sample as video
from runtime.media.video.sample import SampledFrames, VideoLimits

JOBS = "runtime.media.isolation.jobs"
TIMEOUT_S = 20.0
ALARM_MARGIN_S = 10.0
MEMORY_BYTES = 512 * 2**20  # the video decoder keeps up to 17 frames of 14 MiB (4096 x 2304 px)
_SOUND_PACE = 10.0  # seconds of sound that allow another second of decoding
_INVALID_REPLY = "the file cannot be decoded: the decoder process sent an invalid reply"


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
    ) -> None:
        """Create a pool without workers.

        Args:
            timeout_s: seconds that the decoding of one file may take; a sound may take a second
                more for every ten seconds that it lasts.
            memory_bytes: memory that a worker may use, besides the file and one copy of it.
            jobs: the module whose JOBS the workers offer.
            alarm_margin_s: seconds after timeout_s when a worker ends itself, for when this
                process was killed and cannot kill it.
        """
        self._timeout_s = timeout_s
        self._memory_bytes = memory_bytes
        self._jobs = jobs
        self._alarm_margin_s = alarm_margin_s
        self._idle: list[WorkerProcess] = []
        self._lock = threading.Lock()
        self._closed = False

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
        """
        if is_plain_wav(data) or not SUPPORTED:
            yield from audio.stream_audio(
                data, sampling_rate=sampling_rate, max_seconds=max_seconds, warn=warn
            )
            return
        arguments = to_json(SoundRequest(sampling_rate, max_seconds))
        budget, samples_left = Budget(self._timeout_s), (max_seconds + 1) * sampling_rate
        with closing(self.ask("sound", arguments, data, budget)) as parts:
            for part in parts:
                block, warnings = _read_block(part, max_samples=samples_left)
                for warning in warnings:
                    warn(warning)
                samples_left -= block.size
                budget.left_s += block.size / sampling_rate / _SOUND_PACE
                yield block

    def sample_frames(
        self, data: bytes, *, count: int, steps: Sequence[Step], limits: VideoLimits
    ) -> SampledFrames:
        """Sample a clip as `runtime.media.video.sample.sample_frames` does.

        Raises:
            DecodeError: also if the worker crashes or sends an invalid reply.
            TooLargeError: also if decoding takes too long.
        """
        if not SUPPORTED:
            return video.sample_frames(data, count=count, steps=steps, limits=limits)
        arguments = to_json(ClipRequest(count, tuple(steps), limits))
        sampled = None
        with closing(self.ask("clip", arguments, data, Budget(self._timeout_s))) as parts:
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
        stops early closes it, which kills the worker.

        Raises:
            InputError: the worker refused the file, crashed on it, or took too long.
            RuntimeError: the job has a bug; the message holds the worker's traceback.
        """
        memory_bytes = self._memory_bytes + 2 * len(data)
        fields = {"job": job, "arguments": arguments, "memory_bytes": memory_bytes}
        reply = request = Message("request", fields, data)
        with self._lend_worker() as worker:
            try:
                for reply in worker.ask(request, budget):
                    if reply.kind == "part":
                        yield reply
            except TimeoutError:
                raise TooLargeError(
                    f"the file took longer to decode than is allowed: {self._timeout_s:g} s"
                ) from None
            except WorkerDiedError as error:
                raise DecodeError(f"the file cannot be decoded: {error}") from None
        _check_end(reply)

    def close(self) -> None:
        """Kill the idle workers now, and each busy one as soon as its request ends."""
        with self._lock:
            self._closed = True
            workers, self._idle = self._idle, []
        for worker in workers:
            worker.kill()

    @contextmanager
    def _lend_worker(self) -> Iterator[WorkerProcess]:
        """Lend an idle worker, or a new one, to the block and take it back afterwards.

        Kill it if an exception leaves the block, because its remaining replies would reach the next
        request; or if the pool was closed meanwhile.
        """
        worker = self._pop_idle() or WorkerProcess(
            jobs=self._jobs, alarm_s=self._timeout_s + self._alarm_margin_s
        )
        try:
            yield worker
        except BaseException:
            worker.kill()
            raise
        with self._lock:
            if not self._closed:
                self._idle.append(worker)
                return
        worker.kill()

    def _pop_idle(self) -> WorkerProcess | None:
        """Return an idle worker that is alive; None if there is none."""
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.is_alive():
                    return worker
                worker.kill()
        return None

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
