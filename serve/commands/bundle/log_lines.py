"""The last lines of a log, only those of forms that the server writes.

Another program's lines, of a proxy for example, may have paths, queries and bodies in them.
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

MOST_BYTES = 2**20
MOST_LINES = 2000
_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
_WORD = r"(?: (?:[a-z0-9_]+=[A-Za-z0-9_.:/-]*|left))*"
_REQUEST = re.compile(rf"{_TIME} [A-Z]+ [A-Za-z0-9_./{{}}:-]+ (?:\d{{3}}|-) [\d.]+ms{_WORD}")
_MESSAGE = re.compile(rf"(?:{_TIME} (?:debug|info|warning|error|critical): |serve: ).*")
_FRAME = re.compile(r'  File "[^"]+", line \d+, in \S+')
_ERROR = re.compile(r"([A-Za-z_][\w.]*(?:Error|Exception|Exit|Interrupt))(?::.*| \(its .*)?")
_TRACEBACK = "Traceback (most recent call last):"
_FIELDS = (
    *("time", "level", "message", "method", "route", "status", "reason", "model", "version"),
    *("bytes_in", "bytes_out", "ms", "stages_ms", "left"),
)


def last_lines(path: Path) -> list[str]:
    """Return the last lines of a log that are the server's, without ids that clients choose.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(0, size - MOST_BYTES))
        lines = stream.read(MOST_BYTES).decode("utf-8", "replace").splitlines()
    if size > MOST_BYTES:
        del lines[:1]  # the rest of a line
    lines = lines[-MOST_LINES:]
    own = list(own_lines(lines))
    left_out = len(lines) - len(own)
    return [*own, f"({left_out} lines of another form are left out)"] if left_out else own


def own_lines(lines: list[str]) -> Iterator[str]:
    """Yield the lines of the server's forms; of an error in a traceback its type alone."""
    for line in lines:
        if line.startswith("{"):
            text = _own_json(line)
            if text is not None:
                yield text
        elif _REQUEST.fullmatch(line):
            yield re.sub(r" (?:id|trace)=\S*", "", line)
        elif line == _TRACEBACK or _MESSAGE.fullmatch(line) or _FRAME.fullmatch(line):
            yield line
        elif match := _ERROR.fullmatch(line):
            yield match[1]


def _own_json(line: str) -> str | None:
    """Return the known fields of a line; of a message with a traceback those lines of it."""
    try:
        content = json.loads(line)
    except ValueError:
        return None
    if not isinstance(content, dict):
        return None
    fields = {name: content[name] for name in _FIELDS if content.get(name) is not None}
    if isinstance(message := fields.get("message"), str):
        first, *rest = message.split("\n")
        fields["message"] = "\n".join([first, *own_lines(rest)])
    return json.dumps(fields) if "time" in fields else None
