"""What a body holds by field, in its three forms: multipart, base64 JSON, raw bytes."""

import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from runtime.errors import InputError
from serve.errors import UnsupportedMediaError
from serve.http.multipart import Part, split_parts
from serve.text.integers import parse_integer
from serve.text.quoting import cut, json_kind, quoted
from serve.uploads.form import Form

DATA_URL = re.compile(r"data:[\w.+/-]*(;[\w.+=-]+)*;base64,")
MAX_JSON_MARKS = 256  # a form of strings needs 4 quotes, a colon and a comma per field
MAX_OBJECT_MARKS = 2**18  # where files may be objects: 64 vectors of 4096 numbers, 10 MB of Python
FIRST_BYTES = "first_bytes"  # query parameter: where a file of a raw body ends and the next begins


@dataclass(frozen=True, slots=True)
class Raw:
    """A body that is the files themselves."""

    body: bytes
    split_at: tuple[str, ...]  # values of FIRST_BYTES


Content = Sequence[Part] | Mapping[str, object] | Raw  # by the form of the body
Fields = list[tuple[str, str]]


def files_of(content: Content, form: Form) -> tuple[bytes, ...]:
    """The files in the form's order; empty are only some of several in a field that repeats.

    Raises:
        InputError: one is missing, empty, too many, or not what its field allows.
    """
    if isinstance(content, Raw):
        return _raw_files(content, form)
    if isinstance(content, Mapping):
        return _json_files(content, form)
    return _checked_files(content, form)


def from_multipart(body: bytes, content_type: str, form: Form) -> tuple[Content, Fields]:
    """The parts that hold files, and the other fields.

    Raises:
        InputError: it is not well formed.
        UnsupportedMediaError: a multipart type other than form-data.
    """
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
    return files, [(part.name, part.text) for part in parts if not _holds_file(part, form)]


def _holds_file(part: Part, form: Form) -> bool:
    # a client that builds the form by hand may leave the file name out
    return part.is_file or part.name in form.files


def _checked_files(files: Sequence[Part], form: Form) -> tuple[bytes, ...]:
    names = [part.name for part in files]
    fewest, most = form.counts
    if not fewest <= len(files) <= most:
        count = {0: "no file", 1: "1 file"}.get(len(files), f"{len(files)} files")
        found = f"{count} ({cut(', '.join(names))})" if files else count
        raise InputError(f"found {found}; needed: {form.needed}")
    if len(form.files) > 1 and form.least == 0 and set(names) == {form.files[-1]}:
        raise InputError(f"{form.files[0]!r} is missing; needed: {form.needed}")
    # names that nobody documented are taken as they come
    if set(names) <= set(form.files) and len(set(names)) > 1:
        twice = next((name for name in form.files[:-1] if names.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"file {quoted(twice)} is given twice; needed: {form.needed}")
        files = sorted(files, key=lambda part: form.files.index(part.name))
    for index, part in enumerate(files):
        if not part.data and not _is_one_of_several(index, len(files), form):
            raise InputError(f"file {quoted(part.name)} is empty; needed: {form.needed}")
    return tuple(part.data for part in files)


def _is_one_of_several(index: int, count: int, form: Form) -> bool:
    """Whether a file stands in a field that repeats, so that the others are answered without it."""
    return index >= len(form.files) - 1 and count > len(form.files)


def from_json(body: bytes, form: Form) -> tuple[Content, Fields]:
    """The object, and those of its fields that are no files.

    Raises:
        InputError: it is no JSON object, holds too many values, or an option that is a list or an
            object.
    """
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
        raise InputError(f"the JSON body is {json_kind(content)}; allowed: an object")
    fields = {name: value for name, value in content.items() if name not in form.files}
    # null is what a program sends for what it has not
    told = [(n, v) for n, v in fields.items() if v is not None or n not in form.options]
    return content, [(name, _option_text(name, value)) for name, value in told]


def _option_text(name: str, value: object) -> str:
    """An option as the other forms of a body hold it."""
    if isinstance(value, dict | list):
        allowed = "a string, a number or a boolean"
        raise InputError(f"field {quoted(name)} is {json_kind(value)}; allowed: {allowed}")
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _json_files(content: Mapping[str, object], form: Form) -> tuple[bytes, ...]:
    needed = form.files if form.least else form.files[:-1]
    missing = [name for name in needed if name not in content]
    if missing:
        found = ", ".join(content) or "no field"
        raise InputError(f"{missing[0]!r} is missing (found: {cut(found)}); needed: {form.needed}")
    given = [(n, value) for n in form.files for value in _json_values(n, content, form)]
    return tuple(
        b""
        if value == "" and _is_one_of_several(index, len(given), form)
        else _json_file(name, value, form)
        for index, (name, value) in enumerate(given)
    )


def _json_values(name: str, content: Mapping[str, object], form: Form) -> Sequence[object]:
    """What stands for one field: several where it is a list, and may be one."""
    if name not in content:
        return ()
    value = content[name]
    if not isinstance(value, list) or name != form.files[-1] or form.most == 1:
        return (value,)
    if not form.least <= len(value) <= form.most:
        raise InputError(f"field {quoted(name)} is a list of {len(value)}; needed: {form.needed}")
    return value


def _json_file(name: str, value: object, form: Form) -> bytes:
    if isinstance(value, dict) and form.objects:
        return orjson.dumps(value)
    if not isinstance(value, str):
        allowed = "a string or an object" if form.objects else "a string"
        raise InputError(f"field {quoted(name)} is {json_kind(value)}; allowed: {allowed}")
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


def _raw_files(raw: Raw, form: Form) -> tuple[bytes, ...]:
    body, split_at = raw.body, raw.split_at
    fewest, most = form.counts
    if not fewest <= len(split_at) + 1 <= most:
        times = f"{fewest - 1} to {most - 1} times" if most > fewest else "once"
        raise InputError(
            f"{form.needed} in a raw body need the query parameter {FIRST_BYTES} {times}, the "
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
