"""Keep the memory of models and runs inside of its limits."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol

from runtime.engine.allocator import release_free_memory
from runtime.engine.cancellation import Cancellation
from runtime.engine.session import Feeds, feed_bytes
from runtime.errors import UnavailableError
from serve.repository.memory.budget import (
    CLIP_BYTES,
    MIB,
    SOUND_BYTES,
    SOUND_TIMES_SIZE,
    Limit,
    Usage,
    read_usage,
)
from serve.repository.memory.ledger import Ledger

PATIENCE_S = 0.5  # to wait for runs that end before a model is evicted, which costs its load
RUN_WAIT_S = 10.0  # for room for a run
BATCH_BYTES = 64 * MIB  # of the run of several requests together
_POLL_S = 0.05
_LOOK_S = 0.1  # between two looks at whether memory is short
HYSTERESIS = 0.1  # of the allowed memory must be free before the server is ready again


class Resident(Protocol):
    """The loaded models."""

    def resident(self) -> Sequence[str]:
        """Return the ids of the models in memory."""

    def evictable(self) -> Sequence[str]:
        """Return the ids of those that no running request uses, the least recently used first."""

    def evict(self, model_id: str) -> bool:
        """Unload a model unless it is in use; return whether its memory was given back."""


class Spare(Protocol):
    """Memory that holds nothing that is needed: stored answers."""

    @property
    def used_bytes(self) -> int:
        """Return the bytes that it takes."""

    def clear(self) -> int:
        """Free them; return how many they were."""


class _Nothing:
    """No models yet."""

    def resident(self) -> Sequence[str]:
        return ()

    def evictable(self) -> Sequence[str]:
        return ()

    def evict(self, model_id: str) -> bool:
        return False


class MemoryKeeper:
    """Makes room for loads and runs by eviction. Safe to use from several threads at once.

    What is spare goes first, before any model.

    What the server takes is the larger of two figures: what the system tells, which lags behind
    runs that have just begun; and the sum of the costs of the models, of the room that was given
    and of the bodies. So it is with the decoders. The free heap of the server is of no use to them:
    the two are added, and what others in the cgroup take. So are the bodies that may still arrive:
    nobody asks for room before each piece of one.
    """

    def __init__(
        self,
        limits: Sequence[Limit] = (),
        *,
        clock: Callable[[], float] = time.monotonic,
        usage: Callable[[], Usage] = read_usage,
        base_bytes: int | None = None,
        work_bytes: int = 0,
    ) -> None:
        """Begin without models.

        Args:
            limits: none: everything has room.
            clock: seconds that only grow.
            usage: returns what the server and its decoders take.
            base_bytes: memory of the process without models; None to measure it now.
            work_bytes: that all requests take at once, besides their runs.
        """
        self.limits = tuple(limits)
        self.ledger = Ledger()
        self._clock = clock
        base_bytes = usage().server_bytes if base_bytes is None else base_bytes
        self._base_bytes = base_bytes + work_bytes
        self._read_usage = usage
        self._models: Resident = _Nothing()
        self._body_bytes: Callable[[], int] = lambda: 0
        self._coming_bytes: Callable[[], int] = lambda: 0
        self._spare: list[Spare] = []
        self._condition = threading.Condition()
        self._given_bytes = 0  # to loads and runs
        self._clip_bytes = 0  # to decoders
        self._holders = 0
        self.begun = 0  # pieces of work that were given room
        self.refused = 0
        self._is_short = False
        self._looked_s = float("-inf")

    def serve(self, models: Resident) -> None:
        """Take the models that may be evicted."""
        self._models = models

    def add_spare(self, spare: Spare) -> None:
        """Count memory that is freed first, before a model is evicted."""
        self._spare.append(spare)

    def clear_spare(self) -> int:
        """Free what is spare; return the bytes. The heap gives them back with the next release."""
        return sum(spare.clear() for spare in self._spare)

    @property
    def spare_bytes(self) -> int:
        """Return what could be freed at once."""
        return sum(spare.used_bytes for spare in self._spare)

    def count(
        self, body_bytes: Callable[[], int], *, coming_bytes: Callable[[], int] = lambda: 0
    ) -> None:
        """Take functions that any thread may call.

        Args:
            body_bytes: returns the bytes of all bodies and answers.
            coming_bytes: returns the most that may arrive or be answered besides.
        """
        self._body_bytes, self._coming_bytes = body_bytes, coming_bytes

    @property
    def base_bytes(self) -> int:
        """Return what the process takes without models, and its requests outside of runs."""
        return self._base_bytes

    @property
    def given_bytes(self) -> int:
        """Return the room that loads, runs and decoders have now."""
        return self._given_bytes + self._clip_bytes

    @property
    def holders(self) -> int:
        """Return how many loads and runs have room now."""
        return self._holders

    @property
    def free_bytes(self) -> int | None:
        """Return what may still be taken, less than 0 if too much is; None without a limit."""
        return self._free_bytes(lag=False)

    def _free_bytes(self, *, lag: bool) -> int | None:
        """Return what may still be taken; None without a limit.

        Args:
            lag: whether to assume that the system does not tell yet what was given. So it is with
                runs that have just begun; with others it counts them twice.
        """
        if not self.limits:
            return None
        kept = sum(map(self.ledger.kept_bytes, self._models.resident()))
        before_bytes = self._coming_bytes()
        usage = self._read_usage()
        coming_bytes = max(before_bytes, self._coming_bytes())  # bodies arrive and end meanwhile
        held = self._given_bytes + self._body_bytes() + self.spare_bytes
        planned = self._base_bytes + kept + held
        server = max(planned, usage.server_bytes + lag * self._given_bytes)
        taken = server + coming_bytes + max(self._clip_bytes, usage.decoder_bytes)
        return min(
            limit.allowed_bytes - taken - max(0, limit.read_used_bytes() - usage.all_bytes)
            for limit in self.limits
        )

    @contextmanager
    def room(
        self,
        need_bytes: int,
        purpose: str,
        *,
        wait_s: float = RUN_WAIT_S,
        check: Callable[[], None] = lambda: None,
        in_decoder: bool = False,
    ) -> Iterator[None]:
        """Hold memory for the block: give free heap back, wait for others, evict models.

        Args:
            need_bytes: that the block takes.
            purpose: of the block, for the message.
            wait_s: the longest wait for other blocks to end.
            check: called while it waits; raises if nobody needs the result any more.
            in_decoder: whether a decoder takes it, and not this process.

        Raises:
            UnavailableError: there is no room.
        """
        self._take(need_bytes, purpose, wait_s, check, in_decoder)
        try:
            yield
        finally:
            with self._condition:
                self._give(-need_bytes, in_decoder)
                self._holders -= 1
                self._condition.notify_all()

    def make_room(self, need_bytes: int, purpose: str) -> None:
        """Make room for what the caller counts from now on, as `room` does; it may wait as long.

        Raises:
            UnavailableError: there is no room.
        """
        with self.room(need_bytes, purpose):
            pass

    def run_room(
        self, model_id: str, feeds: Feeds, cancellation: Cancellation, *, held_bytes: int = 0
    ) -> AbstractContextManager[None]:
        """Return the context of one run, in which it has the memory that it needs.

        Args:
            model_id: the model.
            feeds: its inputs.
            cancellation: of the request.
            held_bytes: that the request holds already, of which the run may take its part.
        """
        need_bytes = self.ledger.run_bytes(model_id, feed_bytes(feeds)) - held_bytes
        if held_bytes and need_bytes <= 0:
            return nullcontext()
        return self.room(need_bytes, f"a run of {model_id}", check=cancellation.check)

    def batch_rows(self, model_id: str, row_bytes: int) -> int | None:
        """Return how many rows of several requests may share a run, so that nobody has to leave.

        Args:
            model_id: the model.
            row_bytes: of the inputs of one row.

        Returns:
            Rows; None if the memory of a run is not known.
        """
        need_bytes = self.ledger.run_bytes(model_id, row_bytes)
        if not need_bytes:
            return None
        free_bytes = self.free_bytes
        room_bytes = BATCH_BYTES if free_bytes is None else min(BATCH_BYTES, free_bytes // 2)
        return max(1, room_bytes // need_bytes)

    def clip_room(
        self, cancellation: Cancellation, file_bytes: int, *, clip_bytes: int = CLIP_BYTES
    ) -> AbstractContextManager[None]:
        """Return the context in which a decoder has the memory for a clip of so many bytes.

        Args:
            cancellation: of the request.
            file_bytes: of the clip.
            clip_bytes: that the largest one takes besides.
        """
        need_bytes = clip_bytes + 2 * file_bytes
        check = cancellation.check
        return self.room(need_bytes, "decoding a clip", check=check, in_decoder=True)

    def sound_room(
        self, cancellation: Cancellation, file_bytes: int
    ) -> AbstractContextManager[None]:
        """Return the context in which a decoder has the memory for a sound of so many bytes."""
        need_bytes = SOUND_BYTES + SOUND_TIMES_SIZE * file_bytes
        check = cancellation.check
        return self.room(need_bytes, "decoding a sound", check=check, in_decoder=True)

    @property
    def is_short(self) -> bool:
        """Return whether too much is taken and nothing can be evicted.

        It stays so until a tenth of the allowed memory is free, or could be made free.
        """
        now_s = self._clock()
        if self.limits and now_s - self._looked_s >= _LOOK_S:
            self._looked_s = now_s
            self._is_short = self._look()
        return self._is_short

    @property
    def shortage(self) -> str:
        """Return why the server is not ready: the figures of the memory; "" if it is not short."""
        return f"memory is used up: {self._figures()}" if self.is_short else ""

    def check(self) -> None:
        """Refuse a new request while memory is short.

        Raises:
            UnavailableError: it is.
        """
        if self.is_short:
            self.refused += 1
            raise UnavailableError(
                f"the server's memory is used up: {self._figures()}; try again later",
                reason="memory",
            )

    def _look(self) -> bool:
        free = self.free_bytes or 0
        evictable = self._models.evictable()
        if free < 0 and (self.clear_spare() or not evictable):
            release_free_memory()
            free = self.free_bytes or 0
        if self._is_short:
            could_be = free + sum(map(self.ledger.kept_bytes, evictable))
            return could_be < HYSTERESIS * min(limit.allowed_bytes for limit in self.limits)
        return free < 0 and not evictable

    def _take(
        self,
        need_bytes: int,
        purpose: str,
        wait_s: float,
        check: Callable[[], None],
        in_decoder: bool,
    ) -> None:
        start_s = self._clock()
        if self._try(need_bytes, in_decoder, lag=True):
            return
        release_free_memory()
        while not self._try(need_bytes, in_decoder, lag=False):
            if self.clear_spare():
                release_free_memory()
                continue
            waited_s = self._clock() - start_s
            others = self._holders
            if (not others or waited_s >= PATIENCE_S) and self._evict(need_bytes):
                continue
            if not others or waited_s >= wait_s:
                self.refused += 1
                raise UnavailableError(
                    f"{purpose} needs about {need_bytes / MIB:.0f} MiB: {self._figures()}; "
                    "try again later",
                    reason="memory",
                )
            with self._condition:
                self._condition.wait(_POLL_S)
            check()

    def _try(self, need_bytes: int, in_decoder: bool, *, lag: bool) -> bool:
        with self._condition:
            free = self._free_bytes(lag=lag)
            if free is not None and free < need_bytes:
                return False
            self._give(need_bytes, in_decoder)
            self._holders += 1
            self.begun += 1
            return True

    def _give(self, size_bytes: int, in_decoder: bool) -> None:
        if in_decoder:
            self._clip_bytes += size_bytes
        else:
            self._given_bytes += size_bytes

    def _evict(self, need_bytes: int) -> bool:
        """Unload the model that was not used for longest.

        Returns:
            False if none may go, or all that may would not make room: others then have to end.
        """
        evictable = self._models.evictable()
        could_be = (self.free_bytes or 0) + sum(map(self.ledger.kept_bytes, evictable))
        if could_be < need_bytes and self._holders:
            return False
        return any(self._models.evict(model_id) for model_id in evictable)

    def _figures(self) -> str:
        free = max(0, self.free_bytes or 0)
        limit = min(self.limits, key=lambda limit: limit.allowed_bytes)
        return (
            f"{free / MIB:.0f} MiB are free of {limit.allowed_bytes / MIB:.0f} "
            f"({limit.source}), and nothing can be unloaded"
        )
