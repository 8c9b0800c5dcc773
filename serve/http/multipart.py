"""Split multipart/form-data in memory; Starlette's own parser would spool files to disk."""

from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from runtime.errors import TooLargeError

MAX_PARTS = 64


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a form."""

    name: str
    is_file: bool  # it came with a file name
    data: bytes

    @property
    def text(self) -> str:
        """Return the data as text; bytes that are not UTF-8 become U+FFFD, which no option has."""
        return self.data.decode(errors="replace")


@dataclass(slots=True)
class _PartCollector:
    """The callbacks of the parser, and the parts that they have collected so far."""

    parts: list[Part] = field(default_factory=list)
    header_name: bytearray = field(default_factory=bytearray)
    header_value: bytearray = field(default_factory=bytearray)
    disposition: bytes = b""
    data: bytearray = field(default_factory=bytearray)
    complete: bool = False

    def begin(self) -> None:
        self.disposition = b""
        self.data = bytearray()

    def add_header_name(self, data: bytes, start: int, end: int) -> None:
        self.header_name += data[start:end]

    def add_header_value(self, data: bytes, start: int, end: int) -> None:
        self.header_value += data[start:end]

    def end_header(self) -> None:
        if self.header_name.lower() == b"content-disposition":
            self.disposition = bytes(self.header_value)
        self.header_name.clear()
        self.header_value.clear()

    def add_data(self, data: bytes, start: int, end: int) -> None:
        self.data += memoryview(data)[start:end]

    def end(self) -> None:
        _, options = parse_options_header(self.disposition)
        if b"name" not in options:
            raise FormParserError("a part has no name in its Content-Disposition")
        if len(self.parts) == MAX_PARTS:
            raise TooLargeError(f"the form has more than {MAX_PARTS} parts; allowed: {MAX_PARTS}")
        name = options[b"name"].decode(errors="replace")
        self.parts.append(Part(name, b"filename" in options, bytes(self.data)))

    def finish(self) -> None:
        self.complete = True


def split_parts(body: bytes, boundary: bytes) -> list[Part]:
    """Return the parts of a form, in order.

    Raises:
        FormParserError: the body is not well formed, or ends early.
        TooLargeError: it has more than 64 parts.
    """
    collector = _PartCollector()
    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": collector.begin,
            "on_header_field": collector.add_header_name,
            "on_header_value": collector.add_header_value,
            "on_header_end": collector.end_header,
            "on_part_data": collector.add_data,
            "on_part_end": collector.end,
            "on_end": collector.finish,
        },
    )
    parser.write(body)
    parser.finalize()
    if not collector.complete:
        raise FormParserError("the closing boundary is missing")
    return collector.parts
