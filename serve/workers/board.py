"""Figures that the workers tell each other, in memory that they share."""

import mmap
import os
from dataclasses import dataclass
from typing import Self

_SERVES, _READY, _CONNECTIONS, _BUSY, _ENDS = range(5)  # the columns
_COLUMNS = 8  # of 8 bytes: a cache line for each worker


class Board:
    """A row of numbers for each worker, who alone writes it while it lives.

    Create it before the workers are forked. A number is read and written in one step.
    """

    def __init__(self, workers: int) -> None:
        """Begin with workers that do not serve yet."""
        self.workers = workers
        self._supervisor = os.getpid()
        self._cells = memoryview(mmap.mmap(-1, workers * _COLUMNS * 8)).cast("q")

    def row(self, worker: int) -> "Row":
        """Return the row of a worker."""
        return Row(self, worker)

    def clear(self, worker: int) -> None:
        """Forget what a worker told: it has ended."""
        for column in range(_COLUMNS):
            self._cells[worker * _COLUMNS + column] = 0

    def ready(self) -> list[bool]:
        """Return which workers have loaded their models."""
        return [bool(value) for value in self._column(_READY)]

    def end(self) -> None:
        """Tell that the whole server ends, not one worker alone."""
        for worker in range(self.workers):
            self.put(worker, _ENDS, 1)

    def is_ending(self) -> bool:
        """Return whether the whole server ends, or its supervisor has ended, when a worker asks."""
        return any(self._column(_ENDS)) or self._supervisor not in (os.getppid(), os.getpid())

    def is_serving(self) -> bool:
        """Return whether a worker accepts connections."""
        return any(self._column(_SERVES))

    def is_busy(self) -> bool:
        """Return whether a worker has jobs whose answers a client will fetch."""
        return any(self._column(_BUSY))

    def fewest_connections(self) -> int:
        """Return the open connections of the worker that has the fewest; 0 if none serves."""
        serving = self._column(_SERVES)
        counts = zip(self._column(_CONNECTIONS), serving, strict=True)
        return min((count for count, serves in counts if serves), default=0)

    def _column(self, column: int) -> list[int]:
        return self._cells[column::_COLUMNS].tolist()

    def get(self, worker: int, column: int) -> int:
        """Return one number."""
        return self._cells[worker * _COLUMNS + column]

    def put(self, worker: int, column: int, value: int) -> None:
        """Write one number."""
        self._cells[worker * _COLUMNS + column] = value


@dataclass(frozen=True, slots=True)
class Row:
    """Hold what one worker tells the others."""

    board: Board
    worker: int

    def begin(self) -> Self:
        """Tell that the worker accepts connections."""
        self.board.put(self.worker, _SERVES, 1)
        return self

    def end(self) -> None:
        """Tell that the worker accepts no more."""
        self.board.put(self.worker, _SERVES, 0)

    def set_ready(self) -> None:
        """Tell that the models are loaded."""
        self.board.put(self.worker, _READY, 1)

    def set_busy(self, busy: bool) -> None:
        """Tell whether jobs run, or ended so lately that their clients will still ask."""
        self.board.put(self.worker, _BUSY, int(busy))

    @property
    def connections(self) -> int:
        """Return the number of open connections."""
        return self.board.get(self.worker, _CONNECTIONS)

    def count_connection(self, change: int) -> None:
        """Add to the number of open connections."""
        self.board.put(self.worker, _CONNECTIONS, self.connections + change)
