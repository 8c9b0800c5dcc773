"""Read the files and options of a request body: multipart, or raw bytes."""

from collections.abc import Sequence
from dataclasses import dataclass

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from runtime.errors import InputError, TooLargeError
from serve.errors import UnsupportedMediaError
from serve.http.multipart import Part, split_parts
from serve.text.messages import repr_truncated
from serve.uploads.form import Form

MAX_CONTENT_TYPE_BYTES = 1024
MAX_OPTION_BYTES = 16 * 1024  # 2000 characters of a condition, each escaped as two of UTF-16


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
        TooLargeError: it has more than 64 parts or `max_files` files to answer one by one, or an
            option is too long.
        UnsupportedMediaError: a multipart type other than form-data.
    """
    if len(content_type) > MAX_CONTENT_TYPE_BYTES:
        raise UnsupportedMediaError(
            f"Content-Type has {len(content_type)} bytes; allowed: {MAX_CONTENT_TYPE_BYTES}"
        )
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
    options = [(part.name, _option_text(part)) for part in parts if not _is_file(part, form)]
    return Parsed(files, options, _batch_field([file.name for file in files], form, max_files))


def _is_file(part: Part, form: Form) -> bool:
    # a client that builds the form by hand may leave the file name out
    return part.is_file or part.name in form.files


def check_option(name: str, size_bytes: int) -> None:
    """Refuse an option that is longer than any of them may be (TooLargeError)."""
    if size_bytes > MAX_OPTION_BYTES:
        raise TooLargeError(
            f"field {repr_truncated(name)} has {size_bytes} bytes; "
            f"allowed for an option: {MAX_OPTION_BYTES}"
        )


def _option_text(part: Part) -> str:
    check_option(part.name, len(part.data))
    return part.text


def _batch_field(names: Sequence[str], form: Form, max_files: int) -> str | None:
    """Return the field of a batch: two files or more that are answered one by one; else None.

    Raises:
        TooLargeError: the batch has more than `max_files`.
    """
    # a route with one field accepts any name for it
    name = names[0] if len(form.files) == 1 and len(set(names)) == 1 else form.files[0]
    if not form.takes_batches or names.count(name) < 2:
        return None
    check_batch(names.count(name), form, max_files)
    return name


def check_batch(count: int, form: Form, max_files: int) -> None:
    """Refuse a batch of no file (InputError) or of more than `max_files` (TooLargeError)."""
    if not 1 <= count <= max_files:
        message = f"field {repr_truncated(form.files[0])} has {count} {form.noun}s"
        refusal = TooLargeError if count else InputError
        raise refusal(f"{message}; allowed in one request: 1 to {max_files} (SLIPWAY_MAX_FILES)")


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
