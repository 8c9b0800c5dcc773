"""multipart/form-data, split in memory: Starlette's own parser would put files on disk."""

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
        """The data as text; bytes that are not UTF-8 become U+FFFD, which no option allows."""
        return self.data.decode(errors="replace")


@dataclass(slots=True)
class _Collector:
    """What the parser's callbacks have found so far."""

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
    """The parts of a form, in order.

    Raises:
        FormParserError: the body is not well formed, or ends early.
        TooLargeError: it has more than 64 parts.
    """
    found = _Collector()
    parser = MultipartParser(
        boundary,
        {
            "on_part_begin": found.begin,
            "on_header_field": found.add_header_name,
            "on_header_value": found.add_header_value,
            "on_header_end": found.end_header,
            "on_part_data": found.add_data,
            "on_part_end": found.end,
            "on_end": found.finish,
        },
    )
    parser.write(body)
    parser.finalize()
    if not found.complete:
        raise FormParserError("the closing boundary is missing")
    return found.parts
