"""The thread that loads versions, one after the other, into the slots of the repository."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from runtime import Model
from runtime.errors import ArtifactError, UnavailableError
from serve.repository.load_version import Load
from serve.repository.provenance import provenance_of
from serve.repository.scan import check_loadable, reason_of
from serve.repository.slot import Slot, SlotTable
from serve.repository.status import ModelState, ModelStatus

Report = Callable[[str], None]  # takes one line of the log


class SlotLoader:
    """Loads slots. Its thread does one thing at a time, in the order of the requests."""

    def __init__(self, table: SlotTable, load: Load, report: Report) -> None:
        """Start no load yet."""
        self._table, self._load_version, self._report = table, load, report
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="slipway-load")

    def close(self) -> None:
        """Load nothing more; what runs is not waited for."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def submit(self, slot: Slot) -> None:
        """Load a slot that is LOADING, after what was submitted before."""
        with suppress(RuntimeError):  # closed: its load has an error
            self._thread.submit(self.load, slot)

    def call(self, function: Callable[[], None]) -> Future[None]:
        """Call a function in the thread, after what was submitted before.

        Raises:
            RuntimeError: the loader is closed.
        """
        return self._thread.submit(function)

    def load(self, slot: Slot) -> None:
        """Load the first version of a slot that is not refused. In the thread of the loader."""
        with self._table.lock:
            if slot.state is not ModelState.LOADING or slot.retired:  # withdrawn meanwhile
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
                with self._table.lock:
                    if slot.load is load:
                        slot.refused = {**slot.refused, number: reason_of(error)}
            else:
                self._succeed(slot, load, model)
                return
        self.fail(slot, load)

    def mark_lazy(self, slot: Slot) -> None:
        """Leave a slot to its first request; refuse what can be seen to be wrong now."""
        for version in slot.entry.versions:
            try:
                check_loadable(version)
            except ArtifactError as error:
                slot.refused[version.manifest.version] = reason_of(error)
        slot.state = ModelState.UNLOADED
        if slot.newest_usable < 0:
            self.fail(slot)

    def fail(self, slot: Slot, load: Future[Model] | None = None) -> None:
        """Mark a slot whose versions are all refused."""
        with self._table.lock:
            if slot.load is not (load or slot.load):  # it was withdrawn meanwhile
                return
            slot.state = ModelState.FAILED
        name = (
            f"the candidate of model {slot.entry.id!r}"
            if slot.is_candidate
            else f"model {slot.entry.id!r}"
        )
        self._report(f"{name} is not served: {ModelStatus(slot.state, slot.reasons).problem}")
        self.refuse(slot, f"{name} is not served: {slot.status.problem}")

    def refuse(self, slot: Slot, message: str) -> None:
        """Let those who wait for a load have an error."""
        with self._table.lock:
            if not slot.load.done():
                slot.load.set_exception(UnavailableError(message, reason="model"))

    def _succeed(self, slot: Slot, load: Future[Model], model: Model) -> None:
        with self._table.lock:
            if slot.load is not load:  # it was withdrawn meanwhile
                return
            slot.state, slot.used_s = ModelState.READY, time.monotonic()
            slot.loads += 1
            if not load.done():
                load.set_result(model)
            refused = slot.reasons
        for number, reason in refused.items():
            served = model.manifest.version
            self._report(f"{slot.entry.id}/{number} is refused, {served} is served: {reason}")
        self._report(loaded_line(model))

    def _postpone(self, slot: Slot, load: Future[Model], error: UnavailableError) -> None:
        """Leave a model to its next request; those that wait for it get an error."""
        with self._table.lock:
            if slot.load is not load:
                return
            slot.state, slot.load = ModelState.UNLOADED, Future()
            if not load.done():
                load.set_exception(error)
        self._report(f"model {slot.entry.id!r} is not loaded: {error}")


def loaded_line(model: Model) -> str:
    """Return the line of the log about a model that was loaded."""
    notes = (*provenance_of(model).warnings, *model.notes)
    note = "".join(f" ({text})" for text in notes)
    provider = model.session.provider
    return f"{model.spec.id}/{model.manifest.version} {model.variant.name} on {provider}{note}"
