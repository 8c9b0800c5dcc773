"""Hand the records of Python's logging to the writer of the log."""

import logging
from collections.abc import Callable

from serve.http.log.faults import format_fault
from serve.http.log.record import RequestRecord, message_json, timestamp

REQUESTS = logging.getLogger("serve.requests")
_BLANK = logging.makeLogRecord(
    {"name": REQUESTS.name, "levelno": logging.INFO, "levelname": "INFO", "msg": "request"}
)


class _Line(logging.LogRecord):
    """The record of a request in Python's logging, without what no line shows."""

    def __init__(self, request: RequestRecord) -> None:
        # the base asks for the thread, the process and the place of the call
        self.__dict__.update(_BLANK.__dict__, created=request.time_s, request=request)


class LogHandler(logging.Handler):
    """Formats each record as a line, and hands it on."""

    def __init__(self, write: Callable[[str], None], *, json: bool) -> None:
        """Write text, or JSON."""
        super().__init__()
        self._write = write
        self._json = json

    def emit(self, record: logging.LogRecord) -> None:
        """Write the line of a request, or a message with the traceback of its error."""
        request = getattr(record, "request", None)
        if isinstance(request, RequestRecord):
            self._write(request.json() if self._json else request.text())
            return
        message = record.getMessage().rstrip()
        if record.exc_info and record.exc_info[1] is not None:
            message = f"{message}\n{format_fault(record.exc_info[1])}"
        level = record.levelname.lower()
        if self._json:
            self._write(message_json(record.created, level, message))
        else:
            self._write(f"{timestamp(record.created)} {level}: {message}")


def log_request(record: RequestRecord) -> None:
    """Log a request that ended.

    `REQUESTS.info` would walk the stack for the place of the call, which no line shows.
    """
    if REQUESTS.isEnabledFor(logging.INFO):
        REQUESTS.handle(_Line(record))
