"""Open the log of a process: descriptor 2, written by a thread."""

import faulthandler
import io
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Literal

from serve.http.log.handler import REQUESTS, LogHandler
from serve.http.log.record import message_json
from serve.http.log.writer import LineWriter

Form = Literal["text", "json", "off"]
DRAIN_S = 0.2  # for the last lines, when the process ends


class LogStream(io.TextIOBase):
    """A text stream whose lines go to the log, in place of sys.stderr."""

    def __init__(self, write: Callable[[str], None], drain: Callable[[float], bool]) -> None:
        self._write = write
        self._drain = drain
        self._lock = threading.Lock()
        self._rest = ""

    def write(self, text: str) -> int:
        """Log the lines that the text completes."""
        with self._lock:
            *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._write(line)
        return len(text)

    def flush(self) -> None:
        """Wait for the lines, but not for a pipe that nobody reads."""
        self._drain(DRAIN_S)


def open_log(form: Form) -> LineWriter:
    """Send Python's messages, warnings, tracebacks and logging to the log.

    libpng writes a line to descriptor 2 for each damaged file, so that any client could fill the
    log. Python gets a descriptor of its own, and 2 becomes /dev/null.

    Args:
        form: of the lines; "off": none about requests, and text about the rest.
    """
    descriptor = os.dup(2)
    with open(os.devnull, "wb") as null:
        os.dup2(null.fileno(), 2)
    faulthandler.enable(os.fdopen(descriptor, "wb", buffering=0, closefd=False))
    writer = LineWriter(descriptor)
    is_json = form == "json"

    def write_message(line: str) -> None:
        writer.write(message_json(time.time(), "info", line) if is_json else line)

    sys.stderr = LogStream(write_message, writer.drain)
    root = logging.getLogger()
    root.handlers = [LogHandler(writer.write, json=is_json)]
    root.setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").setLevel(logging.INFO)  # the steps of start and end
    # the parser of forms warns of every ill-formed one, so that a client could fill the log
    logging.getLogger("python_multipart").setLevel(logging.CRITICAL)
    # a warning for each piece of an answer that is written after its client left
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    REQUESTS.setLevel(logging.WARNING if form == "off" else logging.INFO)
    return writer
