"""Read the files and options of a request body: multipart, JSON with base64, or raw bytes."""

import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

import orjson
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from runtime.errors import InputError, TooLargeError
from serve.errors import UnsupportedMediaError
from serve.http.multipart import Part, split_parts
from serve.text.messages import json_type, repr_truncated, truncate
from serve.uploads.form import Form

# Parameters may hold quotes, blanks and commas, as browsers write them: codecs=vp8,opus
DATA_URL = re.compile(r"data:[^\0-\x1f]{0,512}?;\s*base64\s*,", re.IGNORECASE)
_URL_SAFE = bytes.maketrans(b"-_", b"+/")
_BLANKS = b" \t\r\n"
MAX_JSON_MARKS = 256  # a form of strings needs 4 quotes, a colon and a comma per field
MAX_OBJECT_MARKS = 2**18  # if files may be objects: 64 vectors of 4096 numbers, 10 MB of Python


@dataclass(frozen=True, slots=True)
class File:
    """One file of a request, under the field name that the client gave it."""

    name: str
    data: bytes | InputError  # the error if its JSON value holds no file


@dataclass(frozen=True, slots=True)
class Parsed:
    """The files and options of a body, in the client's order."""

    files: Sequence[File]
    options: Sequence[tuple[str, str]] = ()
    batch: str | None = None  # the field whose files are answered one by one


def read_multipart(body: bytes, content_type: str, form: Form, *, max_files: int) -> Parsed:
    """Read a multipart/form-data body.

    Raises:
        InputError: it is not well formed.
        TooLargeError: it has more than 64 parts or `max_files` files to answer one by one.
        UnsupportedMediaError: a multipart type other than form-data.
    """
    media_type, parameters = parse_options_header(content_type)
    if media_type != b"multipart/form-data" or b"boundary" not in parameters:
        value = repr_truncated(content_type)
        raise UnsupportedMediaError(
            f"Content-Type is {value}; allowed: multipart/form-data with a boundary"
        )
    try:
        parts = split_parts(body, parameters[b"boundary"])
    except FormParserError as error:
        raise InputError(f"the body is not well-formed multipart/form-data: {error}") from error
    files = [File(part.name, part.data) for part in parts if _is_file(part, form)]
    options = [(part.name, part.text) for part in parts if not _is_file(part, form)]
    return Parsed(files, options, _batch_field([file.name for file in files], form, max_files))


def _is_file(part: Part, form: Form) -> bool:
    # a client that builds the form by hand may leave the file name out
    return part.is_file or part.name in form.files


def _batch_field(names: Sequence[str], form: Form, max_files: int) -> str | None:
    """Return the field of a batch: two files or more that are answered one by one; else None.

    Raises:
        TooLargeError: the batch has more than `max_files`.
    """
    # a route with one field accepts any name for it
    name = names[0] if len(form.files) == 1 and len(set(names)) == 1 else form.files[0]
    if not form.takes_batches or names.count(name) < 2:
        return None
    _check_batch(names.count(name), form, max_files)
    return name


def _check_batch(count: int, form: Form, max_files: int) -> None:
    """Refuse a batch of no file (InputError) or of more than `max_files` (TooLargeError)."""
    if not 1 <= count <= max_files:
        message = f"field {repr_truncated(form.files[0])} has {count} {form.noun}s"
        refusal = TooLargeError if count else InputError
        raise refusal(f"{message}; allowed in one request: 1 to {max_files} (SLIPWAY_MAX_FILES)")


def read_json(body: bytes, form: Form, *, max_files: int) -> Parsed:
    """Read a JSON object of files in base64 (or texts) and options.

    Raises:
        InputError: it is no JSON object, holds too many values, lacks a file, or an option is a
            list or an object.
        TooLargeError: it has more than `max_files` files to answer one by one.
    """
    content = _load_object(body, form)
    # programs send null for an option that they do not set
    options = [
        (name, _option_text(name, value))
        for name, value in content.items()
        if name not in form.files and (value is not None or name not in form.options)
    ]
    missing = next((n for n in form.files if n not in content and form.requires(n)), None)
    if missing:
        names = ", ".join(content) or "no field"
        raise InputError(
            f"{missing!r} is missing (found: {truncate(names)}); needed: {form.needed}"
        )
    batch = form.takes_batches and isinstance(content.get(form.files[0]), list)
    files = [
        File(name, _file_data(name, value, form))
        for name in form.files
        if name in content
        for value in _values(name, content[name], form, max_files)
    ]
    return Parsed(files, options, form.files[0] if batch else None)


def _load_object(body: bytes, form: Form) -> Mapping[str, object]:
    """Parse a JSON object; refuse one with too many values before it is parsed."""
    # base64 holds none of these; each may become a Python object of twenty times its size
    marks = sum(body.count(mark) for mark in b'{[",')
    allowed = MAX_OBJECT_MARKS if form.objects else MAX_JSON_MARKS
    if marks > allowed and not form.is_text:
        raise InputError(
            f'the JSON body has {marks} of the characters {{ [ " and comma; '
            f"allowed: {allowed}, for one object of strings"
        )
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InputError(f"the body is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"the JSON body is {json_type(content)}; allowed: an object")
    return content


def _option_text(name: str, value: object) -> str:
    """Return an option as text, as multipart holds it: 0.5 becomes "0.5", true becomes "true".

    Raises:
        InputError: it is a list or an object.
    """
    if isinstance(value, dict | list):
        allowed = "a string, a number or a boolean"
        raise InputError(f"field {repr_truncated(name)} is {json_type(value)}; allowed: {allowed}")
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _values(name: str, value: object, form: Form, max_files: int) -> Sequence[object]:
    """Return the values of a file field: the items of a list if the form allows one.

    Their number is checked here, before any of them is decoded: each may take as much memory.
    """
    if not isinstance(value, list):
        return (value,)
    if form.takes_batches and name == form.files[0]:
        _check_batch(len(value), form, max_files)
        return value
    if form.most == 1 or name != form.files[-1]:
        return (value,)
    if not form.least <= len(value) <= form.most:
        raise InputError(
            f"field {repr_truncated(name)} is a list of {len(value)}; needed: {form.needed}"
        )
    return value


def _file_data(name: str, value: object, form: Form) -> bytes | InputError:
    """Return the file in a JSON value, or an error if it holds none."""
    if isinstance(value, dict) and form.objects:
        return orjson.dumps(value)
    if not isinstance(value, str):
        allowed = "a string or an object" if form.objects else "a string"
        return InputError(f"field {repr_truncated(name)} is {json_type(value)}; allowed: {allowed}")
    return value.encode() if form.is_text else _from_base64(name, value)


def _from_base64(name: str, text: str) -> bytes | InputError:
    """Decode base64 or a data URL of it; return the error of a text that is neither."""
    text = text.strip()
    prefix = DATA_URL.match(text)
    if text[:5].lower() == "data:" and prefix is None:
        return InputError(
            f"{name!r} is a data URL that is not base64; allowed: data:...;base64,..."
        )
    try:
        return _decode_base64(text[prefix.end() :] if prefix else text)
    except ValueError as error:  # binascii.Error is one; so is a character outside ASCII
        reason = "a character outside ASCII" if isinstance(error, UnicodeError) else error
        return InputError(
            f"{name!r} is not base64: {reason}; allowed: A-Z a-z 0-9 + / or - _, line breaks, and "
            "padding or none"
        )


def _decode_base64(text: str) -> bytes:
    """Decode base64 of either alphabet, with or without padding and line breaks.

    Raises:
        ValueError: the text is none.
    """
    if "%" in text:  # a data URL is a URL, in which + / = may be escaped
        text = unquote(text)
    digits = text.encode("ascii").translate(_URL_SAFE, delete=_BLANKS)
    padding = -len(digits) % 4
    if padding and digits.endswith(b"="):
        raise binascii.Error("Incorrect padding")
    return binascii.a2b_base64(digits + b"=" * padding, strict_mode=True)


def read_raw(body: bytes, form: Form) -> Parsed:
    """Read a body that is itself the file.

    Raises:
        InputError: the route needs more than one file.
    """
    if form.counts[0] > 1:
        raise InputError(
            f"a raw body is 1 file; needed: {form.needed}, as multipart/form-data or JSON"
        )
    return Parsed([File(form.files[0], body)])
