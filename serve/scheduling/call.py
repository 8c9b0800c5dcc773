"""One request: the cancellation, stopwatch and slots that its graph runs use."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from runtime import Model
from runtime.engine.cancellation import Cancellation
from runtime.engine.session import Feeds, Recall
from serve.scheduling.service_times import ServiceTimes
from serve.scheduling.slots import Slots
from serve.scheduling.stopwatch import Stopwatch

# makes the context of one run of a model with some feeds, in which it has the memory it needs
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


@dataclass(frozen=True, slots=True)
class Call:
    """One request. Its models end with it: a cancelled request runs nothing more."""

    cancellation: Cancellation = field(default_factory=Cancellation)
    stopwatch: Stopwatch = field(default_factory=Stopwatch)
    run_slots: RunSlots | None = None  # None: the whole request has a slot
    run_room: RunRoom = any_room
    running: Callable[[str, Feeds], None] = lambda model_id, feeds: None  # called before each run
    recall: Callable[[Model], Recall] | None = None  # outputs of runs that are known; None: none
    loans: ExitStack = field(default_factory=ExitStack)  # of the models that the request has

    def bind(self, model: Model) -> Model:
        """Return a model whose runs belong to this request."""
        around = partial(self._around, model.spec.id)
        recall = self.recall(model) if self.recall else None
        return replace(model, session=model.session.bound(self.cancellation, around, recall))

    def borrow(self, models: Lender, model_id: str) -> Model:
        """Return a model, bound, that stays loaded until `give_back`."""
        model, give_back = models.lend(model_id)
        self.loans.callback(give_back)
        return self.bind(model)

    def borrow_any(self, models: Lender) -> Mapping[str, Model]:
        """Return the models by id, each borrowed when it is looked up."""
        return _BorrowedModels(models, self)

    def give_back(self) -> None:
        """End the use of all models: the request has ended."""
        self.loans.close()

    @contextmanager
    def _around(self, model_id: str, feeds: Feeds) -> Iterator[None]:
        """Surround one run: wait for a slot if the request has none, and for memory; time it."""
        with (
            self._slot(),
            self.run_room(model_id, feeds, self.cancellation),
            self.stopwatch.running(),
        ):
            self.running(model_id, feeds)
            yield

    @contextmanager
    def _slot(self) -> Iterator[None]:
        run_slots = self.run_slots
        if run_slots is None:
            yield
            return
        kind = f"run of {run_slots.model}"
        expected_s = run_slots.times.expected_s(kind)
        self.stopwatch.wait()
        with run_slots.slots.held(
            run_slots.model, expected_s, self.cancellation, background=run_slots.background
        ):
            self.stopwatch.ready()
            before_s = self.stopwatch.run_s
            yield
        run_slots.times.observe(kind, self.stopwatch.run_s - before_s)


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
