"""One request: the cancellation, stopwatch and slots that its graph runs use."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from runtime import Model
from runtime.artifact.batch_times import cheapest_rows
from runtime.engine.cancellation import Cancellation
from runtime.engine.providers import CPU
from runtime.engine.session import Feeds, Outputs, Recall, Session
from serve.scheduling.batches import LONGEST_RUN_MS, Batches, Place, TimedOutputs
from serve.scheduling.graph_run import GraphRun
from serve.scheduling.rows import batch_axis, count_rows
from serve.scheduling.service_times import ServiceTimes
from serve.scheduling.slots import Slots
from serve.scheduling.stopwatch import Stopwatch
from serve.scheduling.ticket import Ticket

# makes the context of one run of "<model>/<version>" with some feeds, in which it has the memory
RunRoom = Callable[[str, Feeds, Cancellation], AbstractContextManager[None]]


class Lender(Protocol):
    """Models by id that may be unloaded while nobody has them."""

    def __iter__(self) -> Iterator[str]:
        """Return the ids."""

    def __len__(self) -> int:
        """Return the number of models."""

    def __contains__(self, model_id: object) -> bool:
        """Return whether there is such a model."""

    def lend(self, model_id: str) -> tuple[Model, Callable[[], None]]:
        """Return a model, and a function that gives it back."""


def any_room(model_id: str, feeds: Feeds, cancellation: Cancellation) -> nullcontext[None]:
    """Return the context of a run without a limit of memory."""
    return nullcontext()


@dataclass(frozen=True, slots=True)
class RunSlots:
    """The slots of the graph runs of a request that decodes without one."""

    slots: Slots
    times: ServiceTimes
    model: str  # whose clock the runs are charged to
    background: bool = False

    def expected_s(self) -> float:
        """Return the seconds that a run is expected to take."""
        return self.times.expected_s(self._kind)

    def observe(self, seconds: float) -> None:
        """Count the time of a run."""
        self.times.observe(self._kind, seconds)

    @property
    def _kind(self) -> str:
        return f"run of {self.model}"


@dataclass(frozen=True, slots=True)
class Seat:
    """The slot of a request that has one for the whole of its turn."""

    slots: Slots
    ticket: Ticket


def version_of(model: Model) -> str:
    """Return "<model>/<version>", under which the ledger of the memory has its costs."""
    return f"{model.spec.id}/{model.manifest.version}"


@dataclass(frozen=True, slots=True)
class Call:
    """One request. Its models end with it: a cancelled request runs nothing more."""

    cancellation: Cancellation = field(default_factory=Cancellation)
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    run_slots: RunSlots | None = None  # None: the whole request has a slot
    seat: Seat | None = None  # that slot
    run_room: RunRoom = any_room
    running: Callable[[str, Feeds], None] = lambda model_id, feeds: None  # called before each run
    recall: Callable[[Model], Recall] | None = None  # outputs of runs that are known; None: none
    batches: Batches | None = None  # in which runs join those of other requests; None: alone
    runs: list[GraphRun] = field(default_factory=list)  # so far
    loans: ExitStack = field(default_factory=ExitStack)  # of the models that the request has
    lent: dict[str, Model] = field(default_factory=dict)  # by id: one version of each

    def bind(self, model: Model) -> Model:
        """Return a model whose runs belong to this request."""
        around = partial(self._around, model)
        recall = self.recall(model) if self.recall else None
        session = model.session.bound(self.cancellation, around, recall)
        most_rows = self._most_rows(model)
        if most_rows > 1:
            alone = model.session.bound(self.cancellation, around)
            session = session.run_by(partial(self._run_shared, model, alone, most_rows))
        return replace(model, session=session)

    def borrow(self, models: Lender, model_id: str) -> Model:
        """Return a model, bound, that stays loaded until `give_back`: the same version each time.

        The files of one request may so be answered by one version, whatever happens meanwhile.
        """
        if model_id not in self.lent:
            model, give_back = models.lend(model_id)
            self.loans.callback(give_back)
            self.lent[model_id] = model
        return self.bind(self.lent[model_id])

    def borrow_any(self, models: Lender) -> Mapping[str, Model]:
        """Return the models by id, each borrowed when it is looked up."""
        return _BorrowedModels(models, self)

    def give_back(self) -> None:
        """End the use of all models: the request has ended."""
        self.lent.clear()
        self.loans.close()

    def _most_rows(self, model: Model) -> int:
        """Return the rows that requests may share a run of a model with; 1: each runs alone."""
        batches, variant = self.batches, model.variant
        is_measured = model.session.provider == CPU.name  # times are those of the CPU's provider
        if batches is None or not variant.batch_invariant or not is_measured:
            return 1
        times_ms = variant.batch_times_ms
        short = {rows: ms for rows, ms in times_ms.items() if rows == 1 or ms <= LONGEST_RUN_MS}
        most_rows = cheapest_rows(short, batches.most_rows)
        return most_rows if batch_axis(model.spec) is not None else 1

    def _run_shared(
        self, model: Model, alone: Session, most_rows: int, feeds: Feeds, names: Sequence[str]
    ) -> Outputs:
        """Run the rows of this request in a batch with those of others, if others wait."""
        batches, rows = self.batches, count_rows(feeds)
        place = self._place()
        if batches is None or place is None or not rows:
            return alone.run(feeds, names)
        most_rows = batches.rows_that_fit(version_of(model), feeds, most_rows)
        if rows >= most_rows:
            return alone.run(feeds, names)

        def run(feeds: Feeds, cancellation: Cancellation) -> TimedOutputs:
            with self.run_room(version_of(model), feeds, cancellation):
                self.running(model.spec.id, feeds)
                start_s = time.perf_counter()
                outputs = model.session.bound(cancellation).run(feeds, names)
                return TimedOutputs(outputs, start_s, time.perf_counter())

        shapes = tuple((name, a.dtype.str, a.shape[1:]) for name, a in sorted(feeds.items()))
        key = (model.session, tuple(names), shapes, place.background)
        self.stopwatch.wait()
        try:
            share = batches.run(
                key, feeds, most_rows, run=run, place=place, cancellation=self.cancellation
            )
        except BaseException:
            self.stopwatch.ready()
            raise
        seconds = share.end_s - share.start_s
        self.stopwatch.share(seconds, share.fraction)
        if self.run_slots is not None:
            self.run_slots.observe(seconds * share.fraction)
        self.runs.append(GraphRun(model.spec.id, rows, share.batch_rows, seconds))
        return share.outputs

    def _place(self) -> Place | None:
        """Return where this request waits for its runs; None if it has no slot and needs none."""
        if self.run_slots is not None:
            s = self.run_slots
            return Place(s.slots, s.model, s.background, s.expected_s(), None)
        if self.seat is None:
            return None
        ticket = self.seat.ticket
        left_s = max(0.0, ticket.turn_s - self.seat.slots.running_s(ticket))
        return Place(self.seat.slots, ticket.model, ticket.background, left_s, ticket)

    @contextmanager
    def _around(self, model: Model, feeds: Feeds) -> Iterator[None]:
        """Surround one run: wait for a slot if the request has none, and for memory; time it."""
        with self._slot(), self.run_room(version_of(model), feeds, self.cancellation):
            before_s = self.stopwatch.run_s
            with self.stopwatch.running():
                self.running(model.spec.id, feeds)
                yield
        rows = 1 if batch_axis(model.spec) is None else count_rows(feeds)
        seconds = self.stopwatch.run_s - before_s
        self.runs.append(GraphRun(model.spec.id, rows, rows, seconds))

    @contextmanager
    def _slot(self) -> Iterator[None]:
        run_slots = self.run_slots
        if run_slots is None:
            yield
            return
        expected_s = run_slots.expected_s()
        self.stopwatch.wait()
        with run_slots.slots.held(
            run_slots.model, expected_s, self.cancellation, background=run_slots.background
        ):
            self.stopwatch.ready()
            before_s = self.stopwatch.run_s
            yield
        run_slots.observe(self.stopwatch.run_s - before_s)


class _BorrowedModels(Mapping[str, Model]):
    """Models that a request borrows when they are looked up."""

    def __init__(self, models: Lender, call: Call) -> None:
        self._models = models
        self._call = call
        self._borrowed: dict[str, Model] = {}

    def __getitem__(self, model_id: str) -> Model:
        if model_id not in self._borrowed:
            self._borrowed[model_id] = self._call.borrow(self._models, model_id)
        return self._borrowed[model_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)

    def __contains__(self, model_id: object) -> bool:
        return model_id in self._models
