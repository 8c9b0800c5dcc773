"""Progress of a run: a line that changes in a terminal, else a line every ten seconds."""

import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib.util import find_spec
from types import TracebackType
from typing import Any, TextIO

from convert.quantize.search.status import SearchStatus

TERMINAL_S, PLAIN_S = 1.0, 10.0  # seconds between two lines


@dataclass(slots=True)
class Progress:
    """The models of a run, the stage of the present one, and the state of its search."""

    model_count: int
    clock: Callable[[], float] = time.monotonic
    models: list[str] = field(default_factory=list)  # begun, the present one last
    stage: str = ""
    search: SearchStatus | None = None
    started: float = 0.0  # the run
    stage_started: float = 0.0

    def __post_init__(self) -> None:
        self.started = self.stage_started = self.clock()

    def update(self, model_id: str, message: str | SearchStatus) -> None:
        """Take the name of a stage that begins, or the state of a search."""
        if isinstance(message, SearchStatus):
            self.search = message
            return
        if model_id not in self.models:
            self.models.append(model_id)
        self.stage, self.search, self.stage_started = message, None, self.clock()

    def line(self) -> str:
        """Return where the run is, in one line; "" before its first stage."""
        if not self.models:
            return ""
        now = self.clock()
        left = self.model_count - len(self.models)
        parts = [
            f"{self.models[-1]}: {self.stage} for {now - self.stage_started:.0f} s",
            *([str(self.search)] if self.search else []),
            f"model {len(self.models)} of {self.model_count}, {left} left, "
            f"{now - self.started:.0f} s in all",
        ]
        return "; ".join(parts)


class ProgressDisplay:
    """Prints each stage as it begins, and between them where the run is."""

    def __init__(
        self, model_count: int, *, stream: TextIO | None = None, period_s: float | None = None
    ) -> None:
        """Prepare the display; nothing is printed before it is entered.

        Args:
            model_count: models of the run.
            stream: receives the lines; None: standard output.
            period_s: seconds between two lines; None: those of a terminal or of a file.
        """
        self._progress = Progress(model_count)
        self._stream = sys.stdout if stream is None else stream
        is_terminal = self._stream.isatty() and find_spec("rich") is not None
        self._console = _console(self._stream) if is_terminal else None
        self._status: Any = None
        self._period_s = period_s or (TERMINAL_S if is_terminal else PLAIN_S)
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._repeat, daemon=True)
        self._open = ExitStack()

    def __enter__(self) -> "ProgressDisplay":
        """Start to print."""
        if self._console is not None:
            self._status = self._open.enter_context(self._console.status(""))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop, and clear the line of a terminal."""
        self._ended.set()
        self._thread.join()
        self._open.close()

    def report(self, model_id: str, message: str | SearchStatus) -> None:
        """Take a message of the pipeline; print it if a stage begins."""
        with self._lock:
            self._progress.update(model_id, message)
            if isinstance(message, str):
                self._print(f"{model_id}: {message}")
            elif self._status is not None:
                self._show()

    def _repeat(self) -> None:
        while not self._ended.wait(self._period_s):
            with self._lock:
                self._show()

    def _show(self) -> None:
        line = self._progress.line()
        if self._status is not None:
            self._status.update(line)
        elif line:
            self._print(line)

    def _print(self, line: str) -> None:
        if self._console is not None:
            self._console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            print(line, file=self._stream, flush=True)


def _console(stream: TextIO) -> Any:
    from rich.console import Console

    return Console(file=stream)
