"""The knowledge of the repository about one model."""

from concurrent.futures import Future
from dataclasses import dataclass, field

from runtime import Model
from serve.repository.scan import Entry
from serve.repository.status import ModelState


@dataclass(slots=True)
class Slot:
    """One model: what is known of it, and its load if that has begun. The repository locks it."""

    entry: Entry
    state: ModelState
    refused: dict[int, str]
    load: Future[Model] = field(default_factory=Future)
    users: int = 0  # running requests that have the model
    used_s: float = 0.0  # when it was last asked for, on the monotonic clock
    loads: int = 0  # that ended well, since the start
    evictions: int = 0  # since the start
