"""The images and options of a request, from its three forms: multipart, base64 JSON, raw bytes."""

import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from runtime.errors import InputError
from serve.errors import UnsupportedMediaError
from serve.integers import parse_integer
from serve.multipart import Part, split_parts
from serve.quoting import cut, quoted

DATA_URL = re.compile(r"data:[\w.+/-]*(;[\w.+=-]+)*;base64,")
MAX_JSON_MARKS = 256  # a form of strings needs 4 quotes, a colon and a comma per field
FIRST_BYTES = "first_bytes"  # query parameter: where the first of two files of a raw body ends


@dataclass(frozen=True, slots=True)
class Form:
    """What a route takes."""

    images: tuple[str, ...]  # field names, as many as images are needed
    options: tuple[str, ...] = ()  # text fields, which may also be query parameters


@dataclass(frozen=True, slots=True)
class Upload:
    """What a request brought."""

    images: tuple[bytes, ...]  # encoded files, in the form's order; none is empty
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
        InputError: an image is missing, empty or one too many, a field is unknown, given twice or
            of another type, or the body is not what its Content-Type says.
        UnsupportedMediaError: a multipart type other than form-data.
    """
    if not body:
        raise InputError(f"the request body is empty; needed: {_needed(form)}")
    media_type = content_type.partition(";")[0].strip().lower()
    split_at = [value for name, value in query if name == FIRST_BYTES]
    options = [(name, value) for name, value in query if name != FIRST_BYTES]
    if split_at and (len(form.images) != 2 or is_json(content_type) or "multipart" in media_type):
        raise InputError(f"{FIRST_BYTES} is allowed only where two images are sent as a raw body")
    if media_type.startswith("multipart/"):
        images, fields = _from_multipart(body, content_type, form)
    elif is_json(content_type):
        images, fields = _from_json(body, form)
    else:
        images, fields = _from_raw(body, split_at, form), []
    return Upload(images, _checked_options([*options, *fields], form))


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
    files = [part for part in parts if _holds_image(part, form)]
    fields = [(part.name, part.text) for part in parts if not _holds_image(part, form)]
    return _checked_files(files, form), fields


def _holds_image(part: Part, form: Form) -> bool:
    # a client that builds the form by hand may leave the file name out
    return part.is_file or part.name in form.images


def _checked_files(files: Sequence[Part], form: Form) -> tuple[bytes, ...]:
    names = [part.name for part in files]
    if len(files) != len(form.images):
        count = {0: "no file", 1: "1 file"}.get(len(files), f"{len(files)} files")
        found = f"{count} ({cut(', '.join(names))})" if files else count
        raise InputError(f"found {found}; needed: {_needed(form)}")
    for part in files:
        if not part.data:
            raise InputError(f"file {quoted(part.name)} is empty; needed: an encoded image")
    if sorted(names) == sorted(form.images):
        files = sorted(files, key=lambda part: form.images.index(part.name))
    return tuple(part.data for part in files)


def _from_json(body: bytes, form: Form) -> tuple[tuple[bytes, ...], list[tuple[str, str]]]:
    # base64 holds none of these; each may become a Python object of twenty times its size
    marks = sum(body.count(mark) for mark in b'{[",')
    if marks > MAX_JSON_MARKS:
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
    missing = [name for name in form.images if name not in content]
    if missing:
        found = ", ".join(content) or "no field"
        raise InputError(
            f"{missing[0]!r} is missing (found: {cut(found)}); needed: {_needed(form)}"
        )
    images = tuple(_from_base64(name, content[name]) for name in form.images)
    return images, [(name, value) for name, value in content.items() if name not in form.images]


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
        raise InputError(f"{name!r} is empty; needed: an encoded image in base64")
    return data


def _from_raw(body: bytes, split_at: Sequence[str], form: Form) -> tuple[bytes, ...]:
    if len(form.images) == 1:
        return (body,)
    last = len(body) - 1
    if len(split_at) != 1:
        raise InputError(
            f"two images in a raw body need the query parameter {FIRST_BYTES} once, the size of "
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
            allowed = ", ".join((*form.images, *form.options))
            raise InputError(f"field {quoted(name)} is unknown; allowed: {allowed}")
        if name in options:
            raise InputError(f"field {quoted(name)} is given twice; allowed: once")
        options[name] = value
    return options


def _needed(form: Form) -> str:
    count = {1: "1 image", 2: "2 images"}[len(form.images)]
    return f"{count} ({', '.join(form.images)})"


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return "null" if value is None else kinds.get(type(value), "a number")
