"""One request: the cancellation, stopwatch and slots that its graph runs use."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from runtime import Model
from runtime.engine.cancellation import Cancellation
from serve.scheduling.service_times import ServiceTimes
from serve.scheduling.slots import Slots
from serve.scheduling.stopwatch import Stopwatch


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

    def bind(self, model: Model) -> Model:
        """Return a model whose runs belong to this request."""
        return replace(model, session=model.session.bound(self.cancellation, self._around))

    def bind_all(self, models: Mapping[str, Model]) -> Mapping[str, Model]:
        """Return the models by id, each bound when it is looked up."""
        return _BoundModels(models, self)

    @contextmanager
    def _around(self) -> Iterator[None]:
        """Surround one run: wait for a slot if the request has none, and time the run."""
        with self._slot(), self.stopwatch.running():
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


class _BoundModels(Mapping[str, Model]):
    """Models that are bound to a request when they are looked up."""

    def __init__(self, models: Mapping[str, Model], call: Call) -> None:
        self._models = models
        self._call = call

    def __getitem__(self, model_id: str) -> Model:
        return self._call.bind(self._models[model_id])

    def __iter__(self) -> Iterator[str]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)

    def __contains__(self, model_id: object) -> bool:
        return model_id in self._models
