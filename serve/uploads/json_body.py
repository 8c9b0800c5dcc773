"""Read the files and options of a JSON body: an object of base64, or of texts, and options."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import orjson

from runtime.errors import InputError, TooLargeError
from serve.text.json_scan import Cut, Span, check_begin, cut_out, strings
from serve.text.messages import json_type, repr_truncated, truncate
from serve.uploads.base64_text import from_base64
from serve.uploads.body_parts import File, Parsed, check_batch, check_option
from serve.uploads.form import Form

MAX_JSON_MARKS = 256  # a form of strings needs 4 quotes, a colon and a comma per field
MAX_OBJECT_MARKS = 2**18  # if files may be objects: 64 vectors of 4096 numbers, 10 MB of Python
MAX_OBJECTS = 4096  # and lists, with those vectors
LONG_STRING_BYTES = 1024  # longer ones never become a str, unless they are an option or a text
MAX_REST_BYTES = 64 * 1024  # of a body without its long strings, if no file may be an object
_BLANKS = b" \t\r\n"


@dataclass(frozen=True, slots=True)
class _Content:
    """A parsed body."""

    values: Mapping[str, object]
    cut: Cut  # the long strings

    def json_of(self, value: object) -> bytes:
        """Return the JSON of a string, as the client sent it if it is long."""
        part = self.cut.part(value)
        return orjson.dumps(value) if part is None else part


def read_json(body: bytes, form: Form, *, max_files: int) -> Parsed:
    """Read a JSON object of files in base64 (or texts) and options.

    Raises:
        InputError: it is no JSON object, lacks a file, or an option is a list or an object.
        TooLargeError: it holds too many values, its options are too long, or it has more than
            `max_files` files to answer one by one.
    """
    content = _load_object(body, form)
    values = content.values
    # programs send null for an option that they do not set
    options = [
        (name, _option_text(name, value, content))
        for name, value in values.items()
        if name not in form.files and (value is not None or name not in form.option_names)
    ]
    missing = next((n for n in form.files if n not in values and form.requires(n)), None)
    if missing:
        names = ", ".join(values) or "no field"
        raise InputError(
            f"{missing!r} is missing (found: {truncate(names)}); needed: {form.needed}"
        )
    batch = form.takes_batches and isinstance(values.get(form.files[0]), list)
    files = [
        File(name, _file_data(name, value, form, content))
        for name in form.files
        if name in values
        for value in _values(name, values[name], form, max_files)
    ]
    return Parsed(files, options, form.files[0] if batch else None)


def _load_object(body: bytes, form: Form) -> _Content:
    """Parse a JSON object without its long strings; refuse one with too many values before."""
    check_begin(body, "the body")
    if form.objects:
        _check_marks(body, b'",', MAX_OBJECT_MARKS)
        _check_marks(body, b"{[", MAX_OBJECTS)
    elif not form.is_text:
        _check_marks(body, b'{[",', MAX_JSON_MARKS)
    limit = len(body) if form.objects else MAX_REST_BYTES
    place = "the JSON body without its long strings"
    cut = cut_out(body, _long_strings(body), end=len(body), limit=limit, place=place)
    try:
        values = orjson.loads(cut.rest)
    except orjson.JSONDecodeError as error:
        raise InputError(f"the body is not JSON: {error}") from error
    if not isinstance(values, dict):
        raise InputError(f"the JSON body is {json_type(values)}; allowed: an object")
    return _Content(values, cut)


def _check_marks(body: bytes, marks: bytes, allowed: int) -> None:
    # base64 holds none of these; each may become a Python object of twenty times its size
    count = sum(body.count(mark) for mark in marks)
    if count > allowed:
        characters = " ".join(marks.decode()).replace(",", "and comma")
        raise TooLargeError(
            f"the JSON body has {count} of the characters {characters}; allowed: {allowed}"
        )


def _long_strings(body: bytes) -> Iterator[Span]:
    """Yield the places of the strings that are not parsed with the rest.

    Raises:
        TooLargeError: one of them is the name of a field.
    """
    for first, last in strings(body, len(body)):
        if last - first <= LONG_STRING_BYTES:
            continue
        if body[last : last + LONG_STRING_BYTES].lstrip(_BLANKS).startswith(b":"):
            raise TooLargeError(
                f"the name of a field has {last - first} bytes; allowed: {LONG_STRING_BYTES}"
            )
        yield first, last


def _option_text(name: str, value: object, content: _Content) -> str:
    """Return an option as text, as multipart holds it: 0.5 becomes "0.5", true becomes "true".

    Raises:
        InputError: it is a list or an object.
        TooLargeError: it is longer than an option may be.
    """
    if isinstance(value, dict | list):
        allowed = "a string, a number or a boolean"
        raise InputError(f"field {repr_truncated(name)} is {json_type(value)}; allowed: {allowed}")
    quoted = content.cut.part(value)
    if quoted is not None:
        check_option(name, len(quoted))
        return _text_of(quoted)
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _text_of(quoted: bytes) -> str:
    try:
        text: str = orjson.loads(quoted)
    except orjson.JSONDecodeError as error:
        raise InputError(f"the body is not JSON: {error}") from error
    return text


def _values(name: str, value: object, form: Form, max_files: int) -> Sequence[object]:
    """Return the values of a file field: the items of a list if the form allows one.

    Their number is checked here, before any of them is decoded: each may take as much memory.
    """
    if not isinstance(value, list):
        return (value,)
    if form.takes_batches and name == form.files[0]:
        check_batch(len(value), form, max_files)
        return value
    if form.most == 1 or name != form.files[-1]:
        return (value,)
    if not form.least <= len(value) <= form.most:
        raise InputError(
            f"field {repr_truncated(name)} is a list of {len(value)}; needed: {form.needed}"
        )
    return value


def _file_data(name: str, value: object, form: Form, content: _Content) -> bytes | InputError:
    """Return the file in a JSON value, or an error if it holds none."""
    if isinstance(value, dict) and form.objects:
        return _object_data(name, value)
    if not isinstance(value, str):
        allowed = "a string or an object" if form.objects else "a string"
        return InputError(f"field {repr_truncated(name)} is {json_type(value)}; allowed: {allowed}")
    quoted = content.json_of(value)
    return _text_of(quoted).encode() if form.is_text else from_base64(name, quoted)


def _object_data(name: str, value: Mapping[str, object]) -> bytes | InputError:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError:  # it writes 254 levels; it reads 1024
        return InputError(f"field {name!r} is an object that is nested too deeply")
