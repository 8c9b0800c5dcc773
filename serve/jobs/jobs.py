"""Run accepted jobs in the background, tell how far they are, and cancel them."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from starlette.responses import Response

from runtime.errors import SlipwayError, UnavailableError
from serve.errors import (
    INTERNAL,
    DeadlineError,
    GoneError,
    NotFoundError,
    OverloadedError,
    UnprocessableError,
    error_response,
    response_of,
)
from serve.http.stop import Stop
from serve.jobs.ids import JobIds
from serve.jobs.record import Answer, Record
from serve.jobs.store import JobStore
from serve.scheduling.call import Call
from serve.scheduling.job import Turns
from serve.scheduling.scheduler import Place, Scheduler
from serve.text.messages import repr_truncated

JobState = Literal["queued", "running", "done", "failed"]
Work = Callable[[Call], Turns[Response]]

MOST_RETRY_S = 5  # between two looks at a job, as Retry-After says
RETRY_SHARE = 4  # a job of four seconds is looked at after another one
FETCH_S = MOST_RETRY_S + 1.0  # after the end of a job, in which an ending server waits for a look
CLOSE_S = 3.0  # for a store that does not answer when the server ends

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Running:
    """The task of a job, and whether its first turn began."""

    task: asyncio.Task[None] | None = None
    has_begun: bool = False  # a worker thread sets it


class Jobs:
    """The jobs of this process. Use it on the event loop only."""

    def __init__(
        self,
        store: JobStore,
        scheduler: Scheduler,
        stop: Stop,
        *,
        timeout_s: float,
        worker: int = 0,
    ) -> None:
        """Begin without jobs.

        Args:
            store: keeps them.
            scheduler: runs them.
            stop: set when the server ends; jobs are then no longer accepted.
            timeout_s: within which an accepted job ends.
            worker: number of this process among those of the server; the ids tell it.
        """
        self.store = store
        self.timeout_s = timeout_s
        self._scheduler = scheduler
        self._stop = stop
        self._ids = JobIds(worker)
        self._running: dict[str, _Running] = {}
        self.ended: Counter[str] = Counter()  # by state: done, failed, cancelled
        self._notes: set[asyncio.Task[None]] = set()  # under way to the store
        self._unfetched: set[str] = set()  # ids of those that ended in the last FETCH_S

    async def check_room(self, client: str, body_bytes: int, key: str | None) -> None:
        """Raise OverloadedError or UnavailableError if a job would not be accepted."""
        if self._stop.requested:
            raise UnavailableError(
                "the server ends and accepts no more jobs; try again later", reason="ending"
            )
        await self.store.check_room(client, body_bytes, key)

    async def submit(
        self,
        place: Place,
        work: Work,
        *,
        client: str,
        body_bytes: int,
        key: str | None = None,
        fingerprint: str | None = None,
    ) -> Record:
        """Accept a job, and run it; or return the one that has the same key.

        Args:
            place: of the scheduler.
            work: makes the generator that worker threads run.
            client: the owner of its API key, or its address where there are none.
            body_bytes: that the job holds until it has ended.
            key: of the client; None without one.
            fingerprint: of the request, where it has a key.

        Raises:
            OverloadedError: there is no room for it.
            UnprocessableError: another request had the key.
        """
        record = Record(
            id=self._ids.new(),
            client=client,
            submitted_s=time.time(),
            body_bytes=body_bytes,
            key=key,
            fingerprint=fingerprint,
        )
        stored = await self.store.add(record)
        if stored.id != record.id:
            if stored.fingerprint != fingerprint:
                raise UnprocessableError(
                    f"Idempotency-Key {repr_truncated(key or '')} belongs to a job with another "
                    "request; allowed: the same path, query and body, or a new key"
                )
            return stored
        running = self._running[record.id] = _Running()
        running.task = asyncio.get_running_loop().create_task(
            self._run(record.id, running, place, work)
        )
        return record

    def open(self) -> None:
        """Begin to hear which jobs others remove."""
        self.store.open(self._stop_job)

    async def get(self, job_id: str, *, with_body: bool = True) -> Record:
        """Return a job; on request without the body of an answer that is no error.

        Raises:
            NotFoundError: nobody gave out such an id.
            GoneError: the job expired or was deleted, or is lost.
        """
        record = await self.store.get(job_id, with_body=with_body)
        if record is not None:
            return record
        origin = self._ids.origin(job_id)
        if origin == "nobody":
            raise NotFoundError(f"no job {repr_truncated(job_id)}")
        if origin == "another process":
            raise GoneError(
                "the job belongs to another process of the server: it expired, was deleted, or is "
                "gone: jobs are lost when their process ends; send the request again"
            )
        raise GoneError("the job expired, was deleted, or gave way after its answer was fetched")

    def state(self, record: Record) -> JobState:
        """Return how far a job is."""
        if record.answer is not None:
            return "failed" if record.answer.status >= 400 else "done"
        running = self._running.get(record.id)
        has_begun = running.has_begun if running else record.has_begun
        return "running" if has_begun else "queued"

    def retry_after_s(self, record: Record) -> int:
        """Return the seconds until the next look at a job that has not ended: a share of its age.

        Looking so costs little, and notices the end at most a quarter later.
        """
        age_s = time.time() - record.submitted_s
        return 1 if self._stop.requested else round(min(max(age_s / RETRY_SHARE, 1), MOST_RETRY_S))

    async def mark_fetched(self, job_id: str) -> None:
        """Note that the client has the answer of a job."""
        self._unfetched.discard(job_id)
        await self.store.mark_fetched(job_id)

    async def cancel(self, job_id: str) -> None:
        """Stop a job that waits or runs, and forget it.

        Raises:
            NotFoundError, GoneError: as `get`.
        """
        await self.get(job_id, with_body=False)
        self._stop_job(job_id)
        await self.store.remove(job_id)

    def _stop_job(self, job_id: str) -> None:
        running = self._running.get(job_id)
        if running and running.task:
            running.task.cancel()
        self._unfetched.discard(job_id)

    @property
    def count(self) -> int:
        """Return the number of jobs that wait or run."""
        return len(self._running)

    @property
    def running(self) -> int:
        """Return the number of jobs whose work has begun; other threads may read it."""
        return sum(running.has_begun for running in tuple(self._running.values()))

    def is_busy(self) -> bool:
        """Return whether a job waits or runs, or ended so lately that its client will still ask."""
        return bool(self._running or self._unfetched)

    async def close(self) -> None:
        """Cancel what waits or runs."""
        if self._running:
            _log.warning("%d jobs are lost: the server ended before they did", len(self._running))
        tasks = [running.task for running in self._running.values() if running.task]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CLOSE_S)
        await self.store.close()

    async def _run(self, job_id: str, running: _Running, place: Place, work: Work) -> None:
        """Run a job to its end and store its answer; without one, forget the job."""
        loop = asyncio.get_running_loop()

        def begin(call: Call) -> Turns[Response]:
            running.has_begun = True
            loop.call_soon_threadsafe(self._note_begin, job_id)
            return (yield from work(call))

        has_answer = False
        try:
            answer = await self._answer(job_id, place, begin)
            has_answer = await self._finish(job_id, answer)
        finally:
            self._running.pop(job_id, None)
            if not has_answer:
                self.ended["cancelled"] += 1
                await self._forget(job_id)

    def _note_begin(self, job_id: str) -> None:
        note = asyncio.get_running_loop().create_task(self._begin(job_id))
        self._notes.add(note)
        note.add_done_callback(self._notes.discard)

    async def _begin(self, job_id: str) -> None:
        with suppress(UnavailableError):  # it counts as queued until its end
            await self.store.begin(job_id)

    async def _forget(self, job_id: str) -> None:
        try:
            await self.store.remove(job_id)
        except UnavailableError as error:  # its record expires
            _log.warning("a job that has no answer was not removed: %s", error)

    async def _answer(self, job_id: str, place: Place, work: Work) -> Answer:
        try:
            async with asyncio.timeout(self.timeout_s):
                response, call = await self._scheduler.run(place, work)
        except TimeoutError:
            late = DeadlineError(
                f"the job did not end within {self.timeout_s:g} s (SLIPWAY_JOB_TIMEOUT)"
            )
            return _error_answer(late)
        except Exception as error:
            response_to_error = response_of(error)
            if response_to_error is None:
                _log.error("job %s was not answered", job_id, exc_info=error)
                response_to_error = error_response(INTERNAL, status=500)
            return Answer.of(response_to_error)
        response.headers["Server-Timing"] = call.stopwatch.header()
        return Answer.of(response)

    async def _finish(self, job_id: str, answer: Answer) -> bool:
        """Store the answer, or the error that there is no room; return False if neither is."""
        try:
            try:
                await self.store.finish(job_id, answer, now_s=time.time())
            except OverloadedError as error:
                full = _error_answer(UnavailableError(str(error), reason=error.reason))
                await self.store.finish(job_id, full, now_s=time.time())
        except SlipwayError as error:
            _log.error("the answer of a job is lost: %s", error)
            return False
        self.ended["failed" if answer.status >= 400 else "done"] += 1
        self._unfetched.add(job_id)
        asyncio.get_running_loop().call_later(FETCH_S, self._unfetched.discard, job_id)
        return True


def _error_answer(error: UnavailableError) -> Answer:
    response = response_of(error)
    assert response is not None  # such errors have a status
    return Answer.of(response)
