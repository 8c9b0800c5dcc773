"""Answer one file after the other: answers on stdout, errors on stderr, progress on a terminal."""

import json
import sys
from argparse import Namespace
from pathlib import Path

from runtime.cli.command import Answer, ReadyCommand
from runtime.cli.files import NoFile, OutputPaths, error_reason, expand, passed_over, printable
from runtime.draw import encode_picture
from runtime.errors import InputError, SlipwayError, not_finite

_ERASE_LINE = "\r\x1b[K"


def answer_files(command: ReadyCommand, options: Namespace) -> int:
    """Answer every file that the options name.

    Returns:
        1 if any file was refused, else 0.

    Raises:
        SlipwayError: an option does not fit the files; no file was answered.
    """
    entries = expand(options.files, command.suffixes)
    count = sum(isinstance(entry, Path) for entry in entries)
    drawings = OutputPaths("--draw", options.draw, ".png") if options.draw else None
    if drawings:
        drawings.check(count)
    command.check_count(count)
    for group in passed_over(options.files, command.suffixes):
        print(f"runtime: {printable(group.argument)}: {group.message}", file=sys.stderr, flush=True)
    progress = _Progress(len(entries))
    refused = 0
    for index, entry in enumerate(entries):
        progress.show(index, entry)
        try:
            text, warnings = _answer_entry(entry, command, drawings, as_json=options.json)
        except (SlipwayError, OSError, MemoryError) as error:
            progress.clear()
            refused += 1
            _report_error(entry, error_reason(error, subject=str(entry)), as_json=options.json)
        else:
            progress.clear()
            print(text, flush=True)
            if not options.json:
                _report_warnings(entry, warnings)
    return 1 if refused else 0


def _answer_entry(
    entry: Path | NoFile, command: ReadyCommand, drawings: OutputPaths | None, *, as_json: bool
) -> tuple[str, tuple[str, ...]]:
    """Return the answer to a file as text or JSON, and its warnings, which JSON holds itself."""
    if isinstance(entry, NoFile):
        raise InputError(entry.reason)
    answer = command.answer(entry)
    picture_path = None
    if drawings:
        if answer.picture is None:
            raise InputError("--draw: this answer cannot be drawn")
        picture_path = drawings.path_for(entry)
        picture_path.write_bytes(encode_picture(answer.picture()))
    text = _format_json(entry, answer, picture_path) if as_json else _format_text(entry, answer)
    return text, answer.warnings


def _format_json(path: Path, answer: Answer, picture_path: Path | None) -> str:
    drawing = {"drawing": str(picture_path)} if picture_path else {}
    provenance = answer.provenance.to_json()
    facts = {"file": str(path), **provenance, "warnings": list(answer.warnings)}
    try:
        return json.dumps({**facts, **drawing, "result": answer.result}, allow_nan=False)
    except ValueError:
        raise not_finite(answer.provenance.model) from None


def _format_text(path: Path, answer: Answer) -> str:
    first, *others = answer.lines
    indented = (f"  {line}" for line in others)
    return "\n".join([f"{printable(str(path))}: {first}", *indented])


def _report_warnings(path: Path | NoFile, warnings: tuple[str, ...]) -> None:
    for warning in warnings:
        print(f"runtime: {printable(str(path))}: warning: {warning}", file=sys.stderr, flush=True)


def _report_error(entry: Path | NoFile, reason: str, *, as_json: bool) -> None:
    name = entry.argument if isinstance(entry, NoFile) else str(entry)
    if as_json:  # on stdout: programs get one line per file, in order
        print(json.dumps({"file": name, "error": reason}), flush=True)
    else:
        print(f"runtime: {printable(name)}: {reason}", file=sys.stderr, flush=True)


class _Progress:
    """A line on stderr that says which file is being answered; none without a terminal."""

    def __init__(self, total: int) -> None:
        self._total = total if sys.stderr.isatty() and total > 1 else 0

    def show(self, index: int, entry: Path | NoFile) -> None:
        """Write the number and name of a file over the line."""
        if self._total:
            name = entry.argument if isinstance(entry, NoFile) else entry.name
            sys.stderr.write(f"{_ERASE_LINE}[{index + 1}/{self._total}] {printable(name)[:60]}")
            sys.stderr.flush()

    def clear(self) -> None:
        """Erase the line before an answer or error is printed."""
        if self._total:
            sys.stderr.write(_ERASE_LINE)
            sys.stderr.flush()
