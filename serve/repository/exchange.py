"""Put a version in the place of another one while requests are answered."""

import gc
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import replace

from runtime import Model
from runtime.engine.allocator import release_free_memory
from runtime.errors import UnavailableError
from serve.repository.load_version import Load
from serve.repository.loader import Report, SlotLoader, loaded_line
from serve.repository.plan import CandidatePlan, Plan
from serve.repository.scan import Entry, Version, reason_of, without_root
from serve.repository.slot import CandidateSlot, ReplacedError, Slot, SlotTable
from serve.repository.status import ModelState

DRAIN_S = 60.0  # for the running requests of a version that has to go before another one comes
_POLL_S = 0.02
_WAITING = (ModelState.LOADING, ModelState.WITHDRAWN)  # a load is to come that reads the entry


class Exchange:
    """Makes the slots what a plan asks for. Its methods run in the thread of the loader.

    A version is loaded and checked beside the one that serves, and takes its place only then. The
    old one answers the requests that have it, and is gone with the last of them.
    """

    def __init__(self, table: SlotTable, loader: SlotLoader, load: Load, report: Report) -> None:
        """Take what the repository has."""
        self._table, self._loader, self._load, self._report = table, loader, load, report

    def apply(self, plan: Plan) -> None:
        """Make the slots of one model what its plan asks for; tell in `problems` what is not."""
        model_id = plan.default.id
        problem = self._exchange_default(plan)
        with self._table.lock:
            others = {name: text for name, text in self._table.problems.items() if name != model_id}
            public = without_root(problem, plan.default.root)
            self._table.problems = {**others, model_id: public} if problem else others
        if problem:
            self._report(f"model {model_id!r}: {problem}")
        self._exchange_candidate(model_id, plan.candidate)

    def retire(self, slot: Slot) -> None:
        """Take a slot away that another one replaced; the lock is held."""
        slot.retired = True
        if slot.users:
            self._table.retired = (*self._table.retired, slot)
        if not slot.load.done():  # whoever waits looks up again
            slot.load.set_exception(ReplacedError("the version was replaced; try again"))

    # the default version

    def _exchange_default(self, plan: Plan) -> str:
        """Return why the plan is not followed, or ""."""
        entry = plan.default
        old = self._table.defaults.get(entry.id)
        if old is None:
            self._add(entry)
            return ""
        with self._table.lock:
            if old.state in _WAITING:
                old.entry, old.refused = entry, dict(entry.refused)
                return ""
        if old.state is ModelState.FAILED:
            self._load_again(old, entry)
            return ""
        return self._load_beside(old, plan)

    def _add(self, entry: Entry) -> None:
        slot = Slot(entry, ModelState.LOADING, dict(entry.refused))
        with self._table.lock:
            self._table.defaults = {**self._table.defaults, entry.id: slot}
        self._loader.load(slot)

    def _load_again(self, slot: Slot, entry: Entry) -> None:
        """Load a slot in its place: nothing there answers."""
        with self._table.lock:
            slot.entry, slot.refused = entry, dict(entry.refused)
            slot.load, slot.state = Future(), ModelState.LOADING
        self._loader.load(slot)

    def _load_beside(self, old: Slot, plan: Plan) -> str:
        """Load the first version of the plan that is in order, unless it is the served one."""
        entry, refused = plan.default, dict(plan.default.refused)
        wanted = entry.versions
        if plan.pinned:  # the version that serves is better than one that nobody chose
            wanted = tuple(v for v in wanted[:1] if v.manifest.version not in entry.refused)
        for version in wanted:
            if _is_same(old.usable, version):
                with self._table.lock:
                    old.entry, old.refused = entry, refused
                return ""
            try:
                slot = self._slot_of(old, version)
            except UnavailableError as error:
                return f"version {version.manifest.version} is not loaded: {error}"
            except Exception as error:  # onnxruntime's exceptions share no base class
                refused[version.manifest.version] = reason_of(error)
                continue
            slot.entry, slot.refused, slot.is_candidate = entry, refused, False
            self._replace(old, slot)
            return ""
        with self._table.lock:
            old.refused = {**old.refused, **_unlike(refused, old.newest_usable)}
        number = max(refused, default=0)
        return f"version {number} is refused: {refused[number]}" if refused else ""

    def _slot_of(self, old: Slot, version: Version) -> Slot:
        """Return a slot that has the version, loaded and checked.

        Raises:
            UnavailableError: there is no room, or the old version is in use for too long.
            ArtifactError: the version is refused.
        """
        candidate = self._table.candidates.get(old.entry.id)
        if candidate and _is_same(candidate.slot.usable, version) and candidate.slot.model:
            return candidate.slot
        entry = replace(old.entry, versions=(version,), refused={})
        try:
            return _ready(entry, self._load(version))
        except UnavailableError:
            if old.model is None:  # it holds no memory: the next request loads the new one
                return Slot(entry, ModelState.UNLOADED, {})
        self._unload(old, version)
        try:
            return _ready(entry, self._load(version))
        except Exception:
            self._load_again(old, old.entry)
            raise

    def _unload(self, old: Slot, version: Version) -> None:
        """Unload a version before its successor is loaded: the memory does not hold both.

        New requests get 503 meanwhile; those that have the old version are waited for.

        Raises:
            UnavailableError: they did not end in time; the old version serves again.
        """
        model_id, number = old.entry.id, version.manifest.version
        self._report(f"model {model_id!r}: the memory does not hold two versions; one is unloaded")
        pause: Future[Model] = Future()
        pause.set_exception(
            UnavailableError(
                f"version {number} of model {model_id!r} takes the place of another one, and the "
                "memory does not hold both; try again later",
                reason="memory",
            )
        )
        with self._table.lock:
            served, old.load, old.state = old.load, pause, ModelState.LOADING
        end_s = time.monotonic() + DRAIN_S
        while old.users and time.monotonic() < end_s:
            time.sleep(_POLL_S)
        if old.users:
            with self._table.lock:
                old.load, old.state = served, ModelState.READY
            raise UnavailableError(
                f"the version before was in use for {DRAIN_S:g} s, and the memory holds one"
            )
        del served
        _release()

    def _replace(self, old: Slot, slot: Slot) -> None:
        model_id = slot.entry.id
        with self._table.lock:
            if old.state is ModelState.WITHDRAWN:  # by an administrator, meanwhile
                old.entry, old.refused = slot.entry, slot.refused
                return
            slot.loads, slot.evictions = slot.loads + old.loads, slot.evictions + old.evictions
            self._table.defaults = {**self._table.defaults, model_id: slot}
            candidate = self._table.candidates.get(model_id)
            if candidate and candidate.slot is slot:  # it is promoted
                self._table.candidates = _without(self._table.candidates, model_id)
            self.retire(old)
        if model := slot.model:
            self._report(loaded_line(model))
        _release()

    # the candidate

    def _exchange_candidate(self, model_id: str, plan: CandidatePlan | None) -> None:
        old = self._table.candidates.get(model_id)
        if plan and old and _is_kept(old, plan):
            self._put_candidate(
                model_id, replace(old, share=plan.candidate.share, same_tensors=plan.same_tensors)
            )
            return
        if old:
            with self._table.lock:
                self._table.candidates = _without(self._table.candidates, model_id)
                self.retire(old.slot)
            _release()
        if plan:
            self._put_candidate(model_id, self._loaded_candidate(plan))

    def _put_candidate(self, model_id: str, candidate: CandidateSlot) -> None:
        with self._table.lock:
            self._table.candidates = {**self._table.candidates, model_id: candidate}

    def _loaded_candidate(self, plan: CandidatePlan) -> CandidateSlot:
        """Return the place of a candidate: loaded and checked, or failed; without room unloaded."""
        slot = loading_candidate(plan)
        self._loader.load(slot.slot)
        return slot


def loading_candidate(plan: CandidatePlan) -> CandidateSlot:
    """Return the place of a candidate that is to be loaded."""
    entry, candidate = plan.entry, plan.candidate
    slot = Slot(entry, ModelState.LOADING, dict(entry.refused), is_candidate=True)
    return CandidateSlot(
        slot, candidate.version, candidate.digest, candidate.share, plan.same_tensors
    )


def _is_kept(candidate: CandidateSlot, plan: CandidatePlan) -> bool:
    wanted = plan.candidate.pin
    is_same = (candidate.version, candidate.digest) == (wanted.version, wanted.digest)
    return is_same and candidate.slot.state is not ModelState.FAILED and bool(plan.entry.versions)


def _ready(entry: Entry, model: Model) -> Slot:
    slot = Slot(entry, ModelState.READY, {}, used_s=time.monotonic(), loads=1)
    slot.load.set_result(model)
    return slot


def _is_same(one: Version | None, other: Version) -> bool:
    """Check that two versions are the same one."""
    if one is None:
        return False
    before, after = one.manifest, other.manifest
    return (before.version, before.digest) == (after.version, after.digest)


def _unlike(refused: dict[int, str], served: int) -> dict[int, str]:
    return {number: reason for number, reason in refused.items() if number != served}


def _without(candidates: Mapping[str, CandidateSlot], model_id: str) -> dict[str, CandidateSlot]:
    return {name: slot for name, slot in candidates.items() if name != model_id}


def _release() -> None:
    """Give the memory of a version back that nobody refers to any more."""
    gc.collect()
    release_free_memory()
