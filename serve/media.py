"""The media and options of a request, from its three forms: multipart, base64 JSON, raw bytes."""

import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from runtime.errors import InputError, TooLargeError
from serve.errors import UnsupportedMediaError
from serve.integers import parse_integer
from serve.multipart import Part, split_parts
from serve.quoting import cut, quoted

DATA_URL = re.compile(r"data:[\w.+/-]*(;[\w.+=-]+)*;base64,")
MAX_TEXT_BYTES = 2**20  # of a body that is one text: 100 000 characters, each of them escaped
MAX_JSON_MARKS = 256  # a form of strings needs 4 quotes, a colon and a comma per field
MAX_OBJECT_MARKS = 2**18  # where files may be objects: 64 vectors of 4096 numbers, 10 MB of Python
FIRST_BYTES = "first_bytes"  # query parameter: where a file of a raw body ends and the next begins


@dataclass(frozen=True, slots=True)
class Form:
    """What a route takes."""

    files: tuple[str, ...]  # field names, one or two; each is one file, but see `least` and `most`
    options: tuple[str, ...] = ()  # text fields, which may also be query parameters
    noun: str = "image"  # what a file is, in messages
    is_text: bool = False  # JSON then holds the text itself, not its base64
    least: int = 1  # of the last field: how few files it brings; 0 where it may be left out
    most: int = 1  # and how many: the field is repeated, in JSON it is a list
    objects: bool = False  # in JSON an object may stand for a file; it is handed on as JSON text

    @property
    def counts(self) -> tuple[int, int]:
        """The fewest and the most files of a request."""
        single = len(self.files) - 1
        return single + self.least, single + self.most


@dataclass(frozen=True, slots=True)
class Upload:
    """What a request brought."""

    files: tuple[bytes, ...]  # encoded, in the form's order, then in the client's; none is empty
    options: Mapping[str, str]


def is_json(content_type: str) -> bool:
    """Whether a Content-Type is JSON's."""
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == "application/json" or media_type.endswith("+json")


def parse_upload(
    body: bytes, *, content_type: str, query: Sequence[tuple[str, str]], form: Form
) -> Upload:
    """Read a body according to its Content-Type; what is neither JSON nor multipart is raw.

    Args:
        body: the whole body.
        content_type: "" where the client sent none.
        query: the parameters of the address, in order.
        form: what the route takes.

    Raises:
        InputError: a file is missing, empty or one too many, a field is unknown, given twice or
            of another type, or the body is not what its Content-Type says.
        UnsupportedMediaError: a multipart type other than form-data.
    """
    if not body:
        raise InputError(f"the request body is empty; needed: {_needed(form)}")
    if form.is_text and len(body) > MAX_TEXT_BYTES:
        raise TooLargeError(f"the body has {len(body)} bytes; allowed for text: {MAX_TEXT_BYTES}")
    media_type = content_type.partition(";")[0].strip().lower()
    split_at = [value for name, value in query if name == FIRST_BYTES]
    options = [(name, value) for name, value in query if name != FIRST_BYTES]
    if split_at and (form.counts[1] < 2 or is_json(content_type) or "multipart" in media_type):
        raise InputError(f"{FIRST_BYTES} is allowed only where two files are sent as a raw body")
    if media_type.startswith("multipart/"):
        found, fields = _from_multipart(body, content_type, form)
    elif is_json(content_type):
        found, fields = _from_json(body, form)
    else:
        found, fields = _from_raw(body, split_at, form), []
    return Upload(found, _checked_options([*options, *fields], form))


def _from_multipart(
    body: bytes, content_type: str, form: Form
) -> tuple[tuple[bytes, ...], list[tuple[str, str]]]:
    media_type, parameters = parse_options_header(content_type)
    if media_type != b"multipart/form-data" or b"boundary" not in parameters:
        raise UnsupportedMediaError(
            f"Content-Type is {quoted(content_type)}; allowed: multipart/form-data with a boundary"
        )
    try:
        parts = split_parts(body, parameters[b"boundary"])
    except FormParserError as error:
        raise InputError(f"the body is not well-formed multipart/form-data: {error}") from error
    files = [part for part in parts if _holds_file(part, form)]
    fields = [(part.name, part.text) for part in parts if not _holds_file(part, form)]
    return _checked_files(files, form), fields


def _holds_file(part: Part, form: Form) -> bool:
    # a client that builds the form by hand may leave the file name out
    return part.is_file or part.name in form.files


def _checked_files(files: Sequence[Part], form: Form) -> tuple[bytes, ...]:
    names = [part.name for part in files]
    fewest, most = form.counts
    if not fewest <= len(files) <= most:
        count = {0: "no file", 1: "1 file"}.get(len(files), f"{len(files)} files")
        found = f"{count} ({cut(', '.join(names))})" if files else count
        raise InputError(f"found {found}; needed: {_needed(form)}")
    for part in files:
        if not part.data:
            raise InputError(f"file {quoted(part.name)} is empty; needed: {_needed(form)}")
    # names that nobody documented are taken as they come
    if set(names) <= set(form.files) and len(set(names)) > 1:
        twice = next((name for name in form.files[:-1] if names.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"file {quoted(twice)} is given twice; needed: {_needed(form)}")
        files = sorted(files, key=lambda part: form.files.index(part.name))
    return tuple(part.data for part in files)


def _from_json(body: bytes, form: Form) -> tuple[tuple[bytes, ...], list[tuple[str, str]]]:
    # base64 holds none of these; each may become a Python object of twenty times its size
    marks = sum(body.count(mark) for mark in b'{[",')
    allowed = MAX_OBJECT_MARKS if form.objects else MAX_JSON_MARKS
    if marks > allowed and not form.is_text:
        raise InputError(
            f'the JSON body has {marks} of the characters {{ [ " and comma; '
            f"allowed: {allowed}, as it is one object of strings"
        )
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InputError(f"the body is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"the JSON body is {_kind(content)}; allowed: an object")
    for name, value in content.items():
        if not isinstance(value, str) and name not in form.files:
            raise InputError(f"field {quoted(name)} is {_kind(value)}; allowed: a string")
    needed = form.files if form.least else form.files[:-1]
    missing = [name for name in needed if name not in content]
    if missing:
        found = ", ".join(content) or "no field"
        raise InputError(
            f"{missing[0]!r} is missing (found: {cut(found)}); needed: {_needed(form)}"
        )
    files = tuple(
        _json_file(name, value, form)
        for name in form.files
        for value in _json_values(name, content, form)
    )
    return files, [(name, value) for name, value in content.items() if name not in form.files]


def _json_values(name: str, content: Mapping[str, object], form: Form) -> Sequence[object]:
    """What stands for one field: several where it is a list, and may be one."""
    if name not in content:
        return ()
    value = content[name]
    if not isinstance(value, list) or name != form.files[-1] or form.most == 1:
        return (value,)
    if not form.least <= len(value) <= form.most:
        raise InputError(f"field {quoted(name)} is a list of {len(value)}; needed: {_needed(form)}")
    return value


def _json_file(name: str, value: object, form: Form) -> bytes:
    if isinstance(value, dict) and form.objects:
        return orjson.dumps(value)
    if not isinstance(value, str):
        allowed = "a string or an object" if form.objects else "a string"
        raise InputError(f"field {quoted(name)} is {_kind(value)}; allowed: {allowed}")
    return _from_text(name, value) if form.is_text else _from_base64(name, value)


def _from_text(name: str, text: str) -> bytes:
    if not text:
        raise InputError(f"{name!r} is empty; needed: a text")
    return text.encode()


def _from_base64(name: str, text: str) -> bytes:
    prefix = DATA_URL.match(text)
    if text.startswith("data:") and prefix is None:
        raise InputError(f"{name!r} is a data URL that is not base64; allowed: data:...;base64,...")
    try:
        data = binascii.a2b_base64(text[prefix.end() if prefix else 0 :], strict_mode=True)
    except ValueError as error:  # binascii.Error is one; so is a character outside ASCII
        raise InputError(
            f"{name!r} is not base64: {error}; allowed: A-Z a-z 0-9 + / and padding, no line breaks"
        ) from error
    if not data:
        raise InputError(f"{name!r} is empty; needed: a file in base64")
    return data


def _from_raw(body: bytes, split_at: Sequence[str], form: Form) -> tuple[bytes, ...]:
    fewest, most = form.counts
    if not fewest <= len(split_at) + 1 <= most:
        times = f"{fewest - 1} to {most - 1} times" if most > fewest else "once"
        raise InputError(
            f"{_needed(form)} in a raw body need the query parameter {FIRST_BYTES} {times}, the "
            f"size of each but the last; found it {len(split_at)} times"
        )
    files, start = [], 0
    for text in split_at:
        left = len(body) - start
        size = parse_integer(text, 1, left - 1)
        if size is None:
            raise InputError(
                f"{FIRST_BYTES} is {quoted(text)}; allowed: 1 to {left - 1}, "
                f"as the body has {left} bytes there"
            )
        files.append(body[start : start + size])
        start += size
    return (*files, body[start:])


def _checked_options(pairs: Sequence[tuple[str, str]], form: Form) -> dict[str, str]:
    options: dict[str, str] = {}
    for name, value in pairs:
        if name not in form.options:
            allowed = ", ".join((*form.files, *form.options))
            raise InputError(f"field {quoted(name)} is unknown; allowed: {allowed}")
        if name in options:
            raise InputError(f"field {quoted(name)} is given twice; allowed: once")
        options[name] = value
    return options


def _needed(form: Form) -> str:
    fewest, most = form.counts
    count = str(fewest) if fewest == most else f"{fewest} to {most}"
    last = f"{form.files[-1]} up to {form.most} times" if form.most > 1 else form.files[-1]
    plural = "s" if most > 1 else ""
    return f"{count} {form.noun}{plural} ({', '.join((*form.files[:-1], last))})"


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return "null" if value is None else kinds.get(type(value), "a number")
