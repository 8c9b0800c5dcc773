"""The models that are served: each version is loaded once, in a thread of its own."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as LoadTimeoutError
from functools import partial

from runtime import Model
from runtime.artifact.manifest import Task
from runtime.errors import UnavailableError
from serve.errors import NotFoundError
from serve.repository.eviction import Eviction
from serve.repository.exchange import Exchange, loading_candidate
from serve.repository.load_version import Load
from serve.repository.loader import Report, SlotLoader
from serve.repository.memory.keeper import MemoryKeeper
from serve.repository.plan import Plan, plan_of
from serve.repository.scan import Entry, without_root
from serve.repository.slot import CandidateSlot, ReplacedError, Slot, SlotTable
from serve.repository.status import ModelState, ModelStatus
from serve.routing.choice import Choice
from serve.routing.counts import Counts
from serve.routing.table import Routing
from serve.text.messages import repr_truncated

_ATTEMPTS = 5  # to lend a model before it is evicted
_ABSENT = (ModelState.FAILED, ModelState.WITHDRAWN)  # do not answer until an administrator acts


class ModelRepository(Mapping[str, Model]):
    """Models by id. Safe to use from several threads at once.

    To look one up waits for its load, and begins it if the model is lazy. Iteration gives the ids
    of the models that are not refused; `in` knows the refused ones too, whose look-up raises
    UnavailableError. A look-up without a choice gets the default version.
    """

    def __init__(
        self,
        entries: Iterable[Entry],
        load: Load,
        *,
        routing: Routing | None = None,
        is_lazy: Callable[[str], bool] = lambda _: False,
        wait_s: float = 30,
        report: Report = lambda _: None,
        memory: MemoryKeeper | None = None,
    ) -> None:
        """List the models; load none before `start`.

        Args:
            entries: the models and their versions.
            load: loads one version, or refuses it.
            routing: says which versions serve; None: the newest of each model that loads.
            is_lazy: tells the ids that are loaded when a request first asks for them.
            wait_s: how long a look-up waits for a load.
            report: takes a line for each model that is loaded, and each version that is refused.
            memory: makes room for loads by eviction; None: without limit.
        """
        self._wait_s = wait_s
        self.report = report
        self.counts = Counts()
        self.routing = routing or Routing()
        plans = [plan_of(entry, self.routing.models.get(entry.id)) for entry in entries]
        self.table = SlotTable({plan.default.id: _loading(plan.default) for plan in plans})
        self._lock = self.table.lock
        self._loader = SlotLoader(self.table, load, report)
        self._exchange = Exchange(self.table, self._loader, load, report)
        self.eviction = Eviction(self.table, report)
        self.memory = memory or MemoryKeeper()
        self.memory.serve(self.eviction)
        self.table.candidates = {
            plan.default.id: loading_candidate(plan.candidate) for plan in plans if plan.candidate
        }
        for slot in self.table:
            if not slot.entry.versions:
                self._loader.fail(slot)
            elif is_lazy(slot.entry.id):
                self._loader.mark_lazy(slot)

    # loading

    def start(self, first: Callable[[str], bool] = lambda _: False) -> Future[None]:
        """Begin to load the models that are not lazy: those that `first` tells, then the others.

        Small ones come before large ones, so that most are ready soon; candidates come last.
        Meanwhile none is evicted: one that finds no room is left for its first request.

        Returns:
            A future that is done when each of them is loaded, refused or left.
        """
        self.eviction.allowed = False

        def rank(slot: Slot) -> tuple[bool, bool, int]:
            entry = slot.entry
            is_candidate = slot is not self.table.defaults[entry.id]
            return is_candidate, not first(entry.id), entry.size_bytes

        for slot in sorted(self.table, key=rank):
            if slot.state is ModelState.LOADING:
                self._loader.submit(slot)
        return self._loader.call(self._allow_eviction)

    def _allow_eviction(self) -> None:
        self.eviction.allowed = True

    def close(self) -> None:
        """End: nothing more is loaded, and those that wait for a load get an error."""
        self._loader.close()
        for slot in self.table:
            model_id = slot.entry.id
            self._loader.refuse(slot, f"model {model_id!r} is not loaded any more: the server ends")

    def apply(self, read: Callable[[], Iterable[Plan]]) -> Future[None]:
        """Make the slots what plans ask for, while requests are answered.

        Args:
            read: makes the plans; called in the thread of the loader, after earlier loads.

        Returns:
            A future that is done when each version is loaded or refused. It is cancelled if the
            repository is closed.
        """

        def follow() -> None:
            for plan in read():
                self._exchange.apply(plan)

        try:
            return self._loader.call(follow)
        except RuntimeError:  # closed
            future: Future[None] = Future()
            future.cancel()
            return future

    def _begin(self, slot: Slot) -> Future[Model]:
        """Return the load of a slot; begin it if nobody has."""
        with self._lock:
            begins = slot.state is ModelState.UNLOADED
            if begins:
                slot.state = ModelState.LOADING
            slot.used_s = time.monotonic()
            load = slot.load
        if begins:
            self._loader.submit(slot)
        return load

    # administration

    def withdraw(self, model_id: str) -> None:
        """Drop a model from memory; until `reinstate` no request loads it. Twice is as once.

        Requests that have the model already end as usual.

        Raises:
            KeyError: there is no such model.
        """
        error = UnavailableError(
            f"model {model_id!r} was unloaded, through /v2/repository", reason="model"
        )
        changed = [self._withdraw(slot, error) for slot in self._slots_of(model_id)]
        if any(changed):
            self.report(f"model {model_id!r} is unloaded")

    def _withdraw(self, slot: Slot, error: UnavailableError) -> bool:
        with self._lock:
            if slot.state is ModelState.WITHDRAWN:
                return False
            waiting, slot.load = slot.load, Future()
            slot.load.set_exception(error)
            slot.state = ModelState.WITHDRAWN
            if not waiting.done():  # a load that runs finds that its result is not wanted
                waiting.set_exception(error)
        return True

    def reinstate(self, model_id: str) -> None:
        """Begin to load a model that is not loaded; wait with `wait_for`.

        Raises:
            KeyError: there is no such model.
        """
        for slot in self._slots_of(model_id):
            with self._lock:
                if slot.state in (ModelState.READY, ModelState.LOADING):
                    continue
                slot.load, slot.state = Future(), ModelState.LOADING
                slot.refused = dict(slot.entry.refused)
            self._loader.submit(slot)

    def _slots_of(self, model_id: str) -> tuple[Slot, ...]:
        """Return the slots of the default version and of the candidate."""
        default, candidate = self.table.defaults[model_id], self.candidate(model_id)
        return (default, candidate.slot) if candidate else (default,)

    # look-up

    def __getitem__(self, model_id: str) -> Model:
        """Return the default version of a model; wait for its load.

        Raises:
            KeyError: there is no such model.
            UnavailableError: every version of it was refused, or it is still loading.
        """
        for _ in range(_ATTEMPTS):
            try:
                return self._wait(self._begin(self.table.defaults[model_id]), model_id)
            except ReplacedError:
                continue
        raise self._unsteady(model_id)

    def _wait(self, load: Future[Model], model_id: str) -> Model:
        try:
            return load.result(self._wait_s)
        except LoadTimeoutError:
            raise self._still_loading(model_id) from None

    def lend(self, model_id: str, choice: Choice | None = None) -> tuple[Model, Callable[[], None]]:
        """Return a model like `[]`, and a function to call once when it is no longer used.

        It is not evicted before. A candidate that cannot answer leaves the request to the default
        version, unless the request names the candidate.

        Args:
            model_id: the model.
            choice: of the request, between the default version and the candidate.
        """
        candidate = self._chosen_candidate(model_id, choice)
        if candidate is not None:
            try:
                return self._lend(lambda: candidate)
            except UnavailableError:
                if choice and choice.version is not None:
                    raise
        return self._lend(lambda: self.table.defaults[model_id])

    def _lend(self, find: Callable[[], Slot]) -> tuple[Model, Callable[[], None]]:
        for _ in range(_ATTEMPTS):
            slot = find()
            load = self._begin(slot)
            try:
                model = self._wait(load, slot.entry.id)
            except ReplacedError:
                continue
            with self._lock:
                if slot.load is load and not slot.retired:
                    slot.users += 1
                    return model, partial(self._give_back, slot)
        raise self._unsteady(find().entry.id)

    def _give_back(self, slot: Slot) -> None:
        with self._lock:
            slot.users -= 1
            slot.used_s = time.monotonic()
            if slot.retired and not slot.users:
                self.table.retired = tuple(one for one in self.table.retired if one is not slot)

    async def wait_for(self, model_id: str, choice: Choice | None = None) -> Model:
        """Return a model like `lend`, without blocking the event loop; it may be evicted."""
        candidate = self._chosen_candidate(model_id, choice)
        if candidate is not None:
            try:
                return await self._wait_async(self._begin(candidate), model_id)
            except UnavailableError:
                if choice and choice.version is not None:
                    raise
        for _ in range(_ATTEMPTS):
            try:
                return await self._wait_async(self._begin(self.table.defaults[model_id]), model_id)
            except ReplacedError:
                continue
        raise self._unsteady(model_id)

    async def _wait_async(self, load: Future[Model], model_id: str) -> Model:
        if load.done():
            return load.result()
        try:
            async with asyncio.timeout(self._wait_s):
                # shielded: a client that leaves does not stop the load for the others
                return await asyncio.shield(asyncio.wrap_future(load))
        except TimeoutError:
            raise self._still_loading(model_id) from None

    def _chosen_candidate(self, model_id: str, choice: Choice | None) -> Slot | None:
        """Return the slot of the candidate if it shall answer a request."""
        candidate = self.candidate(model_id)
        if choice is None or candidate is None:
            return None
        if choice.version is not None:
            return candidate.slot if choice.version == candidate.version else None
        if candidate.slot.state in _ABSENT:
            return None
        if choice.needs_same_tensors and not candidate.same_tensors:
            return None
        is_chosen = choice.takes_candidate(model_id, candidate.digest, candidate.share)
        return candidate.slot if is_chosen else None

    def _still_loading(self, model_id: str) -> UnavailableError:
        return UnavailableError(
            f"model {model_id!r} is still loading; try again later", reason="loading"
        )

    def _unsteady(self, model_id: str) -> UnavailableError:
        return UnavailableError(
            f"model {model_id!r} is unloaded again and again; try again later", reason="memory"
        )

    def __contains__(self, model_id: object) -> bool:
        """Return True for every model of the directory, also for one that is refused."""
        return model_id in self.table.defaults  # Mapping's own method would load the model

    def __iter__(self) -> Iterator[str]:
        return iter(self._served())

    def __len__(self) -> int:
        return len(self._served())

    def _served(self) -> list[str]:
        slots = self.table.defaults
        return [name for name, slot in slots.items() if slot.state not in _ABSENT]

    # description

    @property
    def ids(self) -> tuple[str, ...]:
        """Return the ids of all models, also of those that are refused."""
        return tuple(self.table.defaults)

    @property
    def tasks(self) -> dict[str, Task]:
        """Return the task of each model with a version that may be loaded, by id."""
        slots = self.table.defaults.items()
        return {
            name: slot.entry.versions[0].manifest.spec.task
            for name, slot in slots
            if slot.entry.versions
        }

    def loaded(self, model_id: str, choice: Choice | None = None) -> Model | None:
        """Return the version of a choice if it is loaded; wait for nothing, load nothing."""
        slot = self._chosen_candidate(model_id, choice) or self.table.defaults.get(model_id)
        return slot.model if slot else None

    def candidate(self, model_id: str) -> CandidateSlot | None:
        """Return the place of a model's candidate; None if it has none."""
        return self.table.candidates.get(model_id)

    def route_problem(self, model_id: str) -> str:
        """Return why another version than the pinned one serves; "" if there is no reason."""
        route = self.routing.models.get(model_id)
        if model_id in self.table.problems or route is None:
            return self.table.problems.get(model_id, "")
        pinned, slot = route.default.version, self.table.defaults[model_id]
        reason = without_root(slot.refused.get(pinned, ""), slot.entry.root)
        return f"version {pinned} is refused: {reason}" if reason else ""

    def status(self, model_id: str) -> ModelStatus:
        """Return the state of the default version of a model.

        Raises:
            KeyError: there is no such model.
        """
        return self.table.defaults[model_id].status


def _loading(entry: Entry) -> Slot:
    return Slot(entry, ModelState.LOADING, dict(entry.refused))


def find_model(repository: Mapping[str, Model], model_id: str) -> Model:
    """Return the model of that id; wait for its load. Not for the event loop: see `wait_for`.

    Raises:
        NotFoundError: no model has that id; the message lists the ids.
        UnavailableError: every version of it was refused, or it is still loading.
    """
    if model_id not in repository:
        raise unknown_model(repository, model_id)
    return repository[model_id]


async def wait_for_model(
    repository: ModelRepository, model_id: str, choice: Choice | None = None
) -> Model:
    """Return the model of that id like `find_model`, without blocking the event loop."""
    if model_id not in repository:
        raise unknown_model(repository, model_id)
    return await repository.wait_for(model_id, choice)


def unknown_model(repository: Mapping[str, Model], model_id: str) -> NotFoundError:
    """Return the error for an id that no model has."""
    ids = ", ".join(repository)
    return NotFoundError(f"model {repr_truncated(model_id)} is unknown; known: {ids}")
