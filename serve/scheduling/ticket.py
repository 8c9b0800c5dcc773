"""A piece of work that waits for its turn, or has it."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(eq=False, slots=True)
class Ticket:
    """Work for one model. The owner of the ticket calls `Slots`, which alone changes it."""

    model: str  # id, whose clock is charged
    turn_s: float  # seconds that one turn is expected to take
    grant: Callable[[], None]  # called once for each turn; must not block
    turns: int = 1  # left, with the one that comes next
    background: bool = False  # nobody waits for it at a connection
    is_new: bool = True  # False: the request waits for its batch, in the middle of its turn
    charged_s: float = 0.0  # to the model's clock, for the turn that runs
    started_s: float = 0.0  # on the clock of the slots: when the turn began

    @property
    def work_s(self) -> float:
        """Return the seconds that all turns that are left are expected to take."""
        return self.turn_s * self.turns
