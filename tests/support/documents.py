"""Read the code blocks of Markdown documents."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of code."""

    language: str
    text: str
    output: str | None  # the JSON block that follows without a line between, if any


def read_blocks(*documents: Path) -> Iterator[Block]:
    """Yield the fenced blocks of documents in order."""
    for document in documents:
        matches = list(_BLOCK.finditer(document.read_text(encoding="utf-8")))
        for match, following in zip(matches, [*matches[1:], None], strict=True):
            adjoins = following is not None and following.start() == match.end() + 1
            output = following[2] if following and adjoins and following[1] == "json" else None
            yield Block(match[1], match[2], output)


def shell_lines(*documents: Path) -> Iterator[tuple[str, str | None]]:
    """Yield each line of the `sh` blocks; with the last line of a block comes its output."""
    for block in read_blocks(*documents):
        if block.language == "sh":
            *lines, last = block.text.replace("\\\n", "").strip().splitlines()  # joins \ lines
            yield from ((line, None) for line in lines)
            yield last, block.output


def without_deprecated(answer: Any) -> Any:
    """Return an answer without `weights` beside `weights_origin`, which the documents leave out."""
    if isinstance(answer, list):
        return [without_deprecated(entry) for entry in answer]
    if not isinstance(answer, dict):
        return answer
    return {
        name: without_deprecated(value)
        for name, value in answer.items()
        if name != "weights" or "weights_origin" not in answer
    }
