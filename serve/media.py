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
FIRST_BYTES = "first_bytes"  # query parameter: where the first of two files of a raw body ends


@dataclass(frozen=True, slots=True)
class Form:
    """What a route takes."""

    files: tuple[str, ...]  # field names, one or two: as many as files are needed
    options: tuple[str, ...] = ()  # text fields, which may also be query parameters
    noun: str = "image"  # what a file is, in messages
    is_text: bool = False  # JSON then holds the text itself, not its base64


@dataclass(frozen=True, slots=True)
class Upload:
    """What a request brought."""

    files: tuple[bytes, ...]  # encoded, in the form's order; none is empty
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
    if split_at and (len(form.files) != 2 or is_json(content_type) or "multipart" in media_type):
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
    if len(files) != len(form.files):
        count = {0: "no file", 1: "1 file"}.get(len(files), f"{len(files)} files")
        found = f"{count} ({cut(', '.join(names))})" if files else count
        raise InputError(f"found {found}; needed: {_needed(form)}")
    for part in files:
        if not part.data:
            raise InputError(f"file {quoted(part.name)} is empty; needed: {_needed(form)}")
    if sorted(names) == sorted(form.files):
        files = sorted(files, key=lambda part: form.files.index(part.name))
    return tuple(part.data for part in files)


def _from_json(body: bytes, form: Form) -> tuple[tuple[bytes, ...], list[tuple[str, str]]]:
    # base64 holds none of these; each may become a Python object of twenty times its size
    marks = sum(body.count(mark) for mark in b'{[",')
    if marks > MAX_JSON_MARKS and not form.is_text:
        raise InputError(
            f'the JSON body has {marks} of the characters {{ [ " and comma; '
            f"allowed: {MAX_JSON_MARKS}, as it is one object of strings"
        )
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InputError(f"the body is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"the JSON body is {_kind(content)}; allowed: an object")
    for name, value in content.items():
        if not isinstance(value, str):
            raise InputError(f"field {quoted(name)} is {_kind(value)}; allowed: a string")
    missing = [name for name in form.files if name not in content]
    if missing:
        found = ", ".join(content) or "no field"
        raise InputError(
            f"{missing[0]!r} is missing (found: {cut(found)}); needed: {_needed(form)}"
        )
    decode = _from_text if form.is_text else _from_base64
    files = tuple(decode(name, content[name]) for name in form.files)
    return files, [(name, value) for name, value in content.items() if name not in form.files]


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
    if len(form.files) == 1:
        return (body,)
    last = len(body) - 1
    if len(split_at) != 1:
        raise InputError(
            f"two files in a raw body need the query parameter {FIRST_BYTES} once, the size of "
            f"the first; found it {len(split_at)} times"
        )
    size = parse_integer(split_at[0], 1, last)
    if size is None:
        raise InputError(
            f"{FIRST_BYTES} is {quoted(split_at[0])}; allowed: 1 to {last}, "
            f"as the body has {len(body)} bytes"
        )
    return body[:size], body[size:]


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
    count = {1: f"1 {form.noun}", 2: f"2 {form.noun}s"}[len(form.files)]
    return f"{count} ({', '.join(form.files)})"


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return "null" if value is None else kinds.get(type(value), "a number")
