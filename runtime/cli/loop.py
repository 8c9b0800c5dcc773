"""One file after the other: answers on stdout, what is wrong on stderr, progress on a terminal."""

import json
import sys
from argparse import Namespace
from pathlib import Path

from runtime.cli.command import Answer, ReadyCommand
from runtime.cli.files import Missing, Targets, error_reason, expand, shown
from runtime.draw import encode_picture
from runtime.errors import InputError, SlipwayError, not_finite

_ERASE_LINE = "\r\x1b[K"


def answer_all(opened: ReadyCommand, options: Namespace) -> int:
    """Ask for every file.

    Returns:
        1 where any was refused, else 0.

    Raises:
        SlipwayError: an option does not fit the files; none was asked for.
    """
    entries = expand(options.files, opened.suffixes)
    count = sum(isinstance(entry, Path) for entry in entries)
    drawings = Targets("--draw", options.draw, ".png") if options.draw else None
    if drawings:
        drawings.check(count)
    opened.before(count)
    progress = _Progress(len(entries))
    refused = 0
    for number, entry in enumerate(entries):
        progress.show(number, entry)
        try:
            text = _answered(entry, opened, drawings, as_json=options.json)
        except (SlipwayError, OSError, MemoryError) as error:
            progress.clear()
            refused += 1
            _refuse(entry, error_reason(error, beside=str(entry)), as_json=options.json)
        else:
            progress.clear()
            print(text, flush=True)
    return 1 if refused else 0


def _answered(
    entry: Path | Missing, opened: ReadyCommand, drawings: Targets | None, *, as_json: bool
) -> str:
    if isinstance(entry, Missing):
        raise InputError(entry.reason)
    answer = opened.ask(entry)
    picture = None
    if drawings:
        if answer.picture is None:
            raise InputError("--draw: there is nothing to be seen of this answer")
        picture = drawings.path_for(entry)
        picture.write_bytes(encode_picture(answer.picture()))
    return _json_line(entry, answer, picture) if as_json else _text(entry, answer)


def _json_line(path: Path, answer: Answer, picture: Path | None) -> str:
    drawn = {"drawing": str(picture)} if picture else {}
    provenance = answer.provenance.to_json()
    facts = {"file": str(path), **provenance, "warnings": list(answer.warnings)}
    try:
        return json.dumps({**facts, **drawn, "result": answer.result}, allow_nan=False)
    except ValueError:
        raise not_finite(answer.provenance.model) from None


def _text(path: Path, answer: Answer) -> str:
    first, *others = answer.lines
    indented = (f"  {line}" for line in (*others, *(f"({w})" for w in answer.warnings)))
    return "\n".join([f"{shown(str(path))}: {first}", *indented])


def _refuse(entry: Path | Missing, reason: str, *, as_json: bool) -> None:
    name = entry.typed if isinstance(entry, Missing) else str(entry)
    if as_json:  # a line for each file, in order, for programs
        print(json.dumps({"file": name, "error": reason}), flush=True)
    else:
        print(f"runtime: {shown(name)}: {reason}", file=sys.stderr, flush=True)


class _Progress:
    """A line on stderr that is written over; nothing where stderr is no terminal."""

    def __init__(self, total: int) -> None:
        self._total = total if sys.stderr.isatty() and total > 1 else 0

    def show(self, number: int, entry: Path | Missing) -> None:
        """Say which file is being worked on."""
        if self._total:
            name = entry.typed if isinstance(entry, Missing) else entry.name
            sys.stderr.write(f"{_ERASE_LINE}[{number + 1}/{self._total}] {shown(name)[:60]}")
            sys.stderr.flush()

    def clear(self) -> None:
        """Make room for what is printed."""
        if self._total:
            sys.stderr.write(_ERASE_LINE)
            sys.stderr.flush()
