"""The decoders of `runtime.media.decoders`, each request in a worker of its own while it lasts."""

import threading
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any, Self

import numpy as np

from runtime.arrays import Waveform
from runtime.artifact.schema import to_json
from runtime.artifact.steps import Step
from runtime.errors import ArtifactError, DecodeError, TooLargeError
from runtime.media.audio import decode as audio
from runtime.media.audio.containers import is_plain_wav
from runtime.media.isolation.child import SUPPORTED, Budget, Child, DiedError
from runtime.media.isolation.clips import Clip, sampled_of
from runtime.media.isolation.sounds import Sound
from runtime.media.isolation.wire import REFUSALS, Message, WireError, array_of
from runtime.media.video import sample as video
from runtime.media.video.sample import SampledFrames, VideoLimits

JOBS = "runtime.media.isolation.jobs"
TIMEOUT_S = 20.0
MEMORY_BYTES = 512 * 2**20  # a decoder of clips keeps up to 17 frames, of 14 MiB at 4096 x 2304 px
ALARM_MARGIN_S = 10.0
_NONSENSE = "the file cannot be decoded: its decoder answered what it was not asked"
_SOUND_PACE = 10.0  # seconds of sound that are worth another second of decoding


class IsolatedDecoders:
    """Workers that come with the first request that needs one, as many as ask at a time.

    Samples that lie in a WAV file as they are need no decoder and stay in this process.
    """

    def __init__(
        self,
        *,
        timeout_s: float = TIMEOUT_S,
        memory_bytes: int = MEMORY_BYTES,
        jobs: str = JOBS,
        alarm_margin_s: float = ALARM_MARGIN_S,
    ) -> None:
        """Start nothing yet.

        Args:
            timeout_s: wall clock that one file may take; a sound has a second more for every ten
                that it holds.
            memory_bytes: what a worker may have of its own beside the file.
            jobs: the module with the functions that a worker offers.
            alarm_margin_s: after timeout_s, when a worker whose parent is gone ends itself.
        """
        self._timeout_s = timeout_s
        self._memory_bytes = memory_bytes
        self._jobs = jobs
        self._alarm_margin_s = alarm_margin_s
        self._idle: list[Child] = []
        self._lock = threading.Lock()
        self._closed = False

    def stream_audio(
        self, data: bytes, *, sampling_rate: int, max_seconds: float
    ) -> Iterator[Waveform]:
        """As `runtime.media.audio.decode.stream_audio`.

        Raises:
            DecodeError: the worker crashed on it, too.
            TooLargeError: it took too long, too.
        """
        if is_plain_wav(data) or not SUPPORTED:
            yield from audio.stream_audio(
                data, sampling_rate=sampling_rate, max_seconds=max_seconds
            )
            return
        arguments = to_json(Sound(sampling_rate, max_seconds))
        budget, left = Budget(self._timeout_s), (max_seconds + 1) * sampling_rate
        with closing(self.ask("sound", arguments, data, budget)) as parts:
            for part in parts:
                block = _block_of(part, longest=left)
                left -= block.size
                budget.left_s += block.size / sampling_rate / _SOUND_PACE
                yield block

    def sample_frames(
        self, data: bytes, *, count: int, steps: Sequence[Step], limits: VideoLimits
    ) -> SampledFrames:
        """As `runtime.media.video.sample.sample_frames`.

        Raises:
            DecodeError: the worker crashed on it, too.
            TooLargeError: it took too long, too.
        """
        if not SUPPORTED:
            return video.sample_frames(data, count=count, steps=steps, limits=limits)
        arguments = to_json(Clip(count, tuple(steps), limits))
        sampled = None
        with closing(self.ask("clip", arguments, data, Budget(self._timeout_s))) as parts:
            for part in parts:
                if sampled is not None:
                    raise DecodeError(_NONSENSE)
                sampled = _sampled_of(part)
        if sampled is None:
            raise DecodeError(_NONSENSE)
        return sampled

    def ask(
        self, job: str, arguments: Mapping[str, Any], data: bytes, budget: Budget
    ) -> Generator[Message, None, None]:
        """The parts of an answer, as they come.

        Raises:
            InputError: the worker refused the data, crashed on them, or took too long.
            RuntimeError: a fault of ours; the message is the worker's traceback.
        """
        # the file and one copy of it on top of what decoding takes
        memory_bytes = self._memory_bytes + 2 * len(data)
        facts = {"job": job, "arguments": arguments, "memory_bytes": memory_bytes}
        request = Message("ask", facts, data)
        last = request
        with self._lent() as child:
            try:
                for last in child.ask(request, budget):
                    if last.kind == "part":
                        yield last
            except TimeoutError:
                raise TooLargeError(
                    f"the file took longer to decode than is allowed: {self._timeout_s:g} s"
                ) from None
            except DiedError as error:
                raise DecodeError(f"the file cannot be decoded: {error}") from None
        _check_last(last)

    def close(self) -> None:
        """End every worker; none is started after it."""
        with self._lock:
            self._closed = True
            children, self._idle = self._idle, []
        for child in children:
            child.kill()

    @contextmanager
    def _lent(self) -> Iterator[Child]:
        """A worker; it is killed where the block is left before its answer was complete."""
        child = self._taken() or Child(
            jobs=self._jobs,
            alarm_s=self._timeout_s + self._alarm_margin_s,
        )
        try:
            yield child
        except BaseException:
            child.kill()
            raise
        with self._lock:
            if not self._closed:
                self._idle.append(child)
                return
        child.kill()

    def _taken(self) -> Child | None:
        with self._lock:
            while self._idle:
                child = self._idle.pop()
                if child.is_alive():
                    return child
                child.kill()
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _block_of(part: Message, *, longest: float) -> Waveform:
    try:
        block = array_of(part)
    except WireError:
        raise DecodeError(_NONSENSE) from None
    if block.dtype != np.float32 or block.ndim != 1 or block.size > longest:
        raise DecodeError(_NONSENSE)
    return block


def _sampled_of(part: Message) -> SampledFrames:
    try:
        return sampled_of(part)
    except (WireError, ArtifactError):
        raise DecodeError(_NONSENSE) from None


def _check_last(last: Message) -> None:
    if last.kind == "refused":
        kind = REFUSALS.get(str(last.facts.get("error")), DecodeError)
        raise kind(str(last.facts.get("message")))
    if last.kind != "end":
        raise RuntimeError(f"a worker failed:\n{last.facts.get('traceback')}")
