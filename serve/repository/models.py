"""The models that are served: each is loaded once, in a thread of its own."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as LoadTimeoutError
from contextlib import suppress
from functools import partial

from runtime import Model
from runtime.artifact.manifest import Task
from runtime.errors import ArtifactError, UnavailableError
from serve.errors import NotFoundError
from serve.repository.eviction import Eviction
from serve.repository.load_version import Load
from serve.repository.memory.keeper import MemoryKeeper
from serve.repository.provenance import provenance_of
from serve.repository.scan import Entry, check_loadable, reason_of
from serve.repository.slot import Slot
from serve.repository.status import ModelState, ModelStatus
from serve.text.messages import repr_truncated

Report = Callable[[str], None]  # takes one line of the log


_ATTEMPTS = 5  # to lend a model before it is evicted
_ABSENT = (ModelState.FAILED, ModelState.WITHDRAWN)  # do not answer until an administrator acts


class ModelRepository(Mapping[str, Model]):
    """Models by id. Safe to use from several threads at once.

    To look one up waits for its load, and begins it if the model is lazy. Iteration gives the ids
    of the models that are not refused; `in` knows the refused ones too, whose look-up raises
    UnavailableError.
    """

    def __init__(
        self,
        entries: Iterable[Entry],
        load: Load,
        *,
        is_lazy: Callable[[str], bool] = lambda _: False,
        wait_s: float = 30,
        report: Report = lambda _: None,
        memory: MemoryKeeper | None = None,
    ) -> None:
        """List the models; load none before `start`.

        Args:
            entries: the models and their versions.
            load: loads one version, or refuses it.
            is_lazy: tells the ids that are loaded when a request first asks for them.
            wait_s: how long a look-up waits for a load.
            report: takes a line for each model that is loaded, and each version that is refused.
            memory: makes room for loads by eviction; None: without limit.
        """
        self._load_version = load
        self._wait_s = wait_s
        self.report = report
        self._lock = threading.Lock()
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="slipway-load")
        self._slots = {
            entry.id: Slot(entry, ModelState.LOADING, dict(entry.refused)) for entry in entries
        }
        self.eviction = Eviction(self._slots, self._lock, report)
        self.memory = memory or MemoryKeeper()
        self.memory.serve(self.eviction)
        for model_id, slot in self._slots.items():
            if not slot.entry.versions:
                self._fail(slot)
            elif is_lazy(model_id):
                self._mark_lazy(slot)

    # loading

    def start(self, first: Callable[[str], bool] = lambda _: False) -> Future[None]:
        """Begin to load the models that are not lazy: those that `first` tells, then the others.

        Small ones come before large ones, so that most are ready soon. Meanwhile none is evicted:
        one that finds no room is left for its first request.

        Returns:
            A future that is done when each of them is loaded, refused or left.
        """
        self.eviction.allowed = False
        eager = [slot.entry for slot in self._slots.values() if slot.state is ModelState.LOADING]
        for entry in sorted(eager, key=lambda entry: (not first(entry.id), entry.size_bytes)):
            self._loader.submit(self._load, entry.id)
        return self._loader.submit(self._allow_eviction)

    def _allow_eviction(self) -> None:
        self.eviction.allowed = True

    def close(self) -> None:
        """End: nothing more is loaded, and those that wait for a load get an error."""
        self._loader.shutdown(wait=False, cancel_futures=True)
        for model_id, slot in self._slots.items():
            self._refuse(slot, f"model {model_id!r} is not loaded any more: the server ends")

    def _mark_lazy(self, slot: Slot) -> None:
        for version in slot.entry.versions:
            try:
                check_loadable(version)
            except ArtifactError as error:
                slot.refused[version.manifest.version] = reason_of(error)
        slot.state = ModelState.UNLOADED
        if self._newest_usable(slot) < 0:
            self._fail(slot)

    def _load(self, model_id: str) -> None:
        slot = self._slots[model_id]
        with self._lock:
            if slot.state is not ModelState.LOADING:  # withdrawn while it waited for the loader
                return
            load = slot.load
        for version in slot.entry.versions:
            number = version.manifest.version
            if number in slot.refused:
                continue
            try:
                model = self._load_version(version)
            except UnavailableError as error:  # no room: the version is in order
                self._postpone(slot, load, error)
                return
            except Exception as error:  # onnxruntime's exceptions share no base class
                with self._lock:
                    if slot.load is load:
                        slot.refused = {**slot.refused, number: reason_of(error)}
            else:
                self._succeed(slot, load, model)
                return
        self._fail(slot, load)

    def _succeed(self, slot: Slot, load: Future[Model], model: Model) -> None:
        with self._lock:
            if slot.load is not load:  # it was withdrawn meanwhile
                return
            slot.state, slot.used_s = ModelState.READY, time.monotonic()
            slot.loads += 1
            if not load.done():
                load.set_result(model)
        status = self._status(slot)
        for number, reason in status.refused.items():
            served = model.manifest.version
            self.report(f"{slot.entry.id}/{number} is refused, {served} is served: {reason}")
        self.report(_loaded_line(model))

    def _postpone(self, slot: Slot, load: Future[Model], error: UnavailableError) -> None:
        """Leave a model to its next request; those that wait for it get an error."""
        with self._lock:
            if slot.load is not load:
                return
            slot.state, slot.load = ModelState.UNLOADED, Future()
            if not load.done():
                load.set_exception(error)
        self.report(f"model {slot.entry.id!r} is not loaded: {error}")

    def _fail(self, slot: Slot, load: Future[Model] | None = None) -> None:
        with self._lock:
            if slot.load is not (load or slot.load):  # it was withdrawn meanwhile
                return
            slot.state = ModelState.FAILED
        text = f"{slot.entry.id!r} is not served: {self._status(slot).problem}"
        self.report(f"model {text}")
        self._refuse(slot, f"model {text}")

    def _refuse(self, slot: Slot, message: str) -> None:
        with self._lock:
            if not slot.load.done():
                slot.load.set_exception(UnavailableError(message, reason="model"))

    def _begin(self, model_id: str) -> Future[Model]:
        """Return the load of a model; begin it if nobody has."""
        slot = self._slots[model_id]
        with self._lock:
            begins = slot.state is ModelState.UNLOADED
            if begins:
                slot.state = ModelState.LOADING
            slot.used_s = time.monotonic()
            load = slot.load
        if begins:
            self._submit(model_id)
        return load

    def _submit(self, model_id: str) -> None:
        with suppress(RuntimeError):  # closed: its load has an error
            self._loader.submit(self._load, model_id)

    # administration

    def withdraw(self, model_id: str) -> None:
        """Drop a model from memory; until `reinstate` no request loads it. Twice is as once.

        Requests that have the model already end as usual.

        Raises:
            KeyError: there is no such model.
        """
        slot = self._slots[model_id]
        error = UnavailableError(
            f"model {model_id!r} was unloaded, through /v2/repository", reason="model"
        )
        with self._lock:
            if slot.state is ModelState.WITHDRAWN:
                return
            waiting, slot.load = slot.load, Future()
            slot.load.set_exception(error)
            slot.state = ModelState.WITHDRAWN
            if not waiting.done():  # a load that runs finds that its result is not wanted
                waiting.set_exception(error)
        self.report(f"model {model_id!r} is unloaded")

    def reinstate(self, model_id: str) -> None:
        """Begin to load a model that is not loaded; wait with `wait_for`.

        Raises:
            KeyError: there is no such model.
        """
        slot = self._slots[model_id]
        with self._lock:
            if slot.state in (ModelState.READY, ModelState.LOADING):
                return
            slot.load, slot.state = Future(), ModelState.LOADING
            slot.refused = dict(slot.entry.refused)
        self._submit(model_id)

    # look-up

    def __getitem__(self, model_id: str) -> Model:
        """Return a model; wait for its load.

        Raises:
            KeyError: there is no such model.
            UnavailableError: every version of it was refused, or it is still loading.
        """
        load = self._begin(model_id)
        try:
            return load.result(self._wait_s)
        except LoadTimeoutError:
            raise self._still_loading(model_id) from None

    def lend(self, model_id: str) -> tuple[Model, Callable[[], None]]:
        """Return a model like `[]`, and a function to call once when it is no longer used.

        It is not evicted before.
        """
        slot = self._slots[model_id]
        for _ in range(_ATTEMPTS):
            load = self._begin(model_id)
            model = self[model_id]
            with self._lock:
                if slot.load is load:
                    slot.users += 1
                    return model, partial(self._give_back, slot)
        raise UnavailableError(
            f"model {model_id!r} is unloaded again and again; try again later", reason="memory"
        )

    def _give_back(self, slot: Slot) -> None:
        with self._lock:
            slot.users -= 1
            slot.used_s = time.monotonic()

    async def wait_for(self, model_id: str) -> Model:
        """Return a model like `[]`, without blocking the event loop."""
        load = self._begin(model_id)
        if load.done():
            return load.result()
        try:
            async with asyncio.timeout(self._wait_s):
                # shielded: a client that leaves does not stop the load for the others
                return await asyncio.shield(asyncio.wrap_future(load))
        except TimeoutError:
            raise self._still_loading(model_id) from None

    def _still_loading(self, model_id: str) -> UnavailableError:
        return UnavailableError(
            f"model {model_id!r} is still loading; try again later", reason="loading"
        )

    def __contains__(self, model_id: object) -> bool:
        """Return True for every model of the directory, also for one that is refused."""
        return model_id in self._slots  # Mapping's own method would load the model

    def __iter__(self) -> Iterator[str]:
        return iter(self._served())

    def __len__(self) -> int:
        return len(self._served())

    def _served(self) -> list[str]:
        return [name for name, slot in self._slots.items() if slot.state not in _ABSENT]

    # description

    @property
    def ids(self) -> tuple[str, ...]:
        """Return the ids of all models, also of those that are refused."""
        return tuple(self._slots)

    @property
    def tasks(self) -> dict[str, Task]:
        """Return the task of each model with a version that may be loaded, by id."""
        slots = self._slots.items()
        return {
            name: slot.entry.versions[0].manifest.spec.task
            for name, slot in slots
            if slot.entry.versions
        }

    def loaded(self, model_id: str) -> Model | None:
        """Return a model if it is loaded; wait for nothing, load nothing."""
        slot = self._slots.get(model_id)
        if slot is None or slot.state is not ModelState.READY or not slot.load.done():
            return None
        return slot.load.result()

    def status(self, model_id: str) -> ModelStatus:
        """Return the state of a model.

        Raises:
            KeyError: there is no such model.
        """
        return self._status(self._slots[model_id])

    def _status(self, slot: Slot) -> ModelStatus:
        with self._lock:
            newest = self._newest_usable(slot)
            newer = {n: text for n, text in sorted(slot.refused.items()) if n > newest}
            return ModelStatus(slot.state, newer)

    def _newest_usable(self, slot: Slot) -> int:
        """Return the number of the version that is served, or would be; -1 if there is none."""
        numbers = (version.manifest.version for version in slot.entry.versions)
        return next((number for number in numbers if number not in slot.refused), -1)


def _loaded_line(model: Model) -> str:
    notes = (*provenance_of(model).warnings, *model.notes)
    note = "".join(f" ({text})" for text in notes)
    provider = model.session.provider
    return f"{model.spec.id}/{model.manifest.version} {model.variant.name} on {provider}{note}"


def find_model(repository: Mapping[str, Model], model_id: str) -> Model:
    """Return the model of that id; wait for its load. Not for the event loop: see `wait_for`.

    Raises:
        NotFoundError: no model has that id; the message lists the ids.
        UnavailableError: every version of it was refused, or it is still loading.
    """
    if model_id not in repository:
        raise unknown_model(repository, model_id)
    return repository[model_id]


async def wait_for_model(repository: ModelRepository, model_id: str) -> Model:
    """Return the model of that id like `find_model`, without blocking the event loop."""
    if model_id not in repository:
        raise unknown_model(repository, model_id)
    return await repository.wait_for(model_id)


def unknown_model(repository: Mapping[str, Model], model_id: str) -> NotFoundError:
    """Return the error for an id that no model has."""
    ids = ", ".join(repository)
    return NotFoundError(f"model {repr_truncated(model_id)} is unknown; known: {ids}")
