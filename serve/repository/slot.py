"""The knowledge of the repository about each model: the slots of its default and candidate."""

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field

from runtime import Model
from runtime.errors import UnavailableError
from serve.repository.scan import Entry, Version, without_root
from serve.repository.status import ModelState, ModelStatus


class ReplacedError(UnavailableError):
    """The slot was replaced while somebody waited for its load: look the model up again."""


@dataclass(slots=True)
class Slot:
    """The place of one version in memory, and its load if that has begun. The repository locks it.

    The version is the first of its entry that is not refused.
    """

    entry: Entry
    state: ModelState
    refused: dict[int, str]
    load: Future[Model] = field(default_factory=Future)
    users: int = 0  # running requests that have the model
    used_s: float = 0.0  # when it was last asked for, on the monotonic clock
    loads: int = 0  # that ended well, since the start
    evictions: int = 0  # since the start
    is_candidate: bool = False
    retired: bool = False  # another slot has taken its place; it ends with its users

    @property
    def model(self) -> Model | None:
        """Return the model if it is loaded."""
        load = self.load
        if self.state is not ModelState.READY or not load.done() or load.exception():
            return None
        return load.result()

    @property
    def key(self) -> str:
        """Return the name of the version in memory, as the ledger has it: "<model>/<version>"."""
        model = self.model
        return f"{self.entry.id}/{model.manifest.version if model else self.newest_usable}"

    @property
    def usable(self) -> Version | None:
        """Return the version that is served, or would be; None if there is none."""
        versions = self.entry.versions
        return next((v for v in versions if v.manifest.version not in self.refused), None)

    @property
    def newest_usable(self) -> int:
        """Return the number of the version that is served, or would be; -1 if there is none."""
        version = self.usable
        return version.manifest.version if version else -1

    @property
    def status(self) -> ModelStatus:
        """Return the state, and the refusals of versions newer than the served one, for clients."""
        reasons = {
            number: without_root(text, self.entry.root) for number, text in self.reasons.items()
        }
        return ModelStatus(self.state, reasons)

    @property
    def reasons(self) -> dict[int, str]:
        """Return why versions newer than the served one are refused, with paths, for the log."""
        served = self.newest_usable
        return {number: text for number, text in sorted(self.refused.items()) if number > served}


@dataclass(frozen=True, slots=True)
class CandidateSlot:
    """The place of a model's candidate."""

    slot: Slot
    version: int
    digest: str
    share: float
    same_tensors: bool  # as the default version


class SlotTable:
    """The slots of all models. Its mappings are replaced, never changed, so that any thread reads.

    `lock` is held by whoever replaces one, or changes a slot.
    """

    def __init__(self, defaults: Mapping[str, Slot]) -> None:
        """Take the slots of the default versions; there is no candidate yet."""
        self.lock = threading.Lock()
        self.defaults: Mapping[str, Slot] = defaults
        self.candidates: Mapping[str, CandidateSlot] = {}
        self.problems: Mapping[str, str] = {}  # by model, why its route is not followed
        self.retired: tuple[Slot, ...] = ()  # that requests still use

    def __iter__(self) -> Iterator[Slot]:
        """Return every slot."""
        yield from self.defaults.values()
        yield from (candidate.slot for candidate in self.candidates.values())
        yield from self.retired
