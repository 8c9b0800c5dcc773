"""Parse a request body into the files and options of one answer, or of several."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qsl

from runtime.errors import InputError, TooLargeError
from serve.text.messages import repr_truncated, truncate
from serve.uploads.body_parts import File, Parsed, check_option, read_multipart, read_raw
from serve.uploads.form import Form
from serve.uploads.json_body import read_json

MAX_TEXT_BYTES = 2**20  # of a body that is one text: 100 000 characters, each of them escaped

MAX_QUERY_FIELDS = 64  # as many as a form may have parts

Query = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Upload:
    """The files and options of one answer."""

    files: tuple[bytes, ...]  # encoded, in the order of the form's fields, then in the client's
    options: Mapping[str, str]


def is_json(content_type: str) -> bool:
    """Return True for the Content-Type application/json, or one that ends in +json."""
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == "application/json" or media_type.endswith("+json")


def read_query(query: bytes) -> Query:
    """Return the parameters of an address, in order; the head of a request bounds their length.

    Raises:
        TooLargeError: there are more than 64.
    """
    count = query.count(b"&") + 1
    if count > MAX_QUERY_FIELDS:
        raise TooLargeError(f"the query has {count} fields; allowed: {MAX_QUERY_FIELDS}")
    return parse_qsl(query.decode("latin-1"), keep_blank_values=True)


def parse_upload(
    body: bytes, *, content_type: str, query: Query, form: Form, max_files: int
) -> Upload | tuple[Upload | InputError, ...]:
    """Parse a body according to its Content-Type: multipart, JSON, else one raw file.

    Args:
        body: the whole body.
        content_type: "" if the client sent none.
        query: the parameters of the address, in order.
        form: the files and options that the route takes.
        max_files: most files in the first field, if the route answers each by itself.

    Returns:
        One upload; or, if the first field repeats (in JSON: is a list) and the route answers each
        file by itself, one upload or error per file, in order.

    Raises:
        InputError: the body is empty; a file is missing, empty or one too many; a field is unknown,
            given twice (in the body, the query or both) or of another type; or the body is not of
            its Content-Type.
        TooLargeError: there are more than `max_files`, or a text is longer than 1 MiB.
        UnsupportedMediaError: a multipart type other than form-data.
    """
    parsed = _read(body, content_type, query, form, max_files)
    if parsed.batch is None:
        files = _select_files(parsed.files, form)
        return Upload(files, _check_options(parsed.options, form))
    options = _check_options(parsed.options, form)
    shared = [file for file in parsed.files if file.name != parsed.batch]
    return tuple(
        _upload_or_error([file, *shared], options, form)
        for file in parsed.files
        if file.name == parsed.batch
    )


def _upload_or_error(
    files: Sequence[File], options: Mapping[str, str], form: Form
) -> Upload | InputError:
    """Return the upload of one file of a batch, or the error with which it is answered."""
    try:
        return Upload(_select_files(files, form), options)
    except InputError as error:
        return error


def _read(body: bytes, content_type: str, query: Query, form: Form, max_files: int) -> Parsed:
    """Read the body by its Content-Type; the query's options come before the body's.

    An empty body, a text that is too long and the former parameter `first_bytes` are refused before
    anything is parsed.
    """
    if not body:
        raise InputError(f"the request body is empty; needed: {form.needed}")
    if form.is_text and len(body) > MAX_TEXT_BYTES:
        raise TooLargeError(f"the body has {len(body)} bytes; allowed for text: {MAX_TEXT_BYTES}")
    if any(name == "first_bytes" for name, _ in query):  # split a raw body in two until 0.1.0
        raise InputError(
            "first_bytes is not supported; send two files as multipart/form-data or JSON"
        )
    if content_type.strip().lower().startswith("multipart/"):
        parsed = read_multipart(body, content_type, form, max_files=max_files)
    elif is_json(content_type):
        parsed = read_json(body, form, max_files=max_files)
    else:
        parsed = read_raw(body, form)
    return Parsed(parsed.files, [*query, *parsed.options], parsed.batch)


def _select_files(files: Sequence[File], form: Form) -> tuple[bytes, ...]:
    """Return the data of the files in the order of the form's fields.

    If a file has a name that the form does not know, or all have the same, they keep the client's
    order. An empty file is an error, unless its field repeats: the task then answers the other
    files and names the empty one.

    Raises:
        InputError: a file is missing, given twice, empty or one too many, or holds an error.
    """
    names = [file.name for file in files]
    fewest, most = form.counts
    if not fewest <= len(files) <= most:
        count = {0: "no file", 1: "1 file"}.get(len(files), f"{len(files)} files")
        listed = f"{count} ({truncate(', '.join(names))})" if files else count
        raise InputError(f"found {listed}; needed: {form.needed}")
    if len(form.files) > 1 and form.least == 0 and set(names) == {form.files[-1]}:
        raise InputError(f"{form.files[0]!r} is missing; needed: {form.needed}")
    # files under other names keep the client's order
    if set(names) <= set(form.files) and len(set(names)) > 1:
        twice = next((name for name in form.files[:-1] if names.count(name) > 1), None)
        if twice is not None:
            raise InputError(f"file {repr_truncated(twice)} is given twice; needed: {form.needed}")
        files = sorted(files, key=lambda file: form.files.index(file.name))
    repeats = len(files) > len(form.files)
    return tuple(
        _data(file, form, may_be_empty=repeats and index >= len(form.files) - 1)
        for index, file in enumerate(files)
    )


def _data(file: File, form: Form, *, may_be_empty: bool) -> bytes:
    """Return the bytes of a file; raise the error that it holds, or refuse an empty one."""
    if isinstance(file.data, InputError):
        raise file.data
    if not file.data and not may_be_empty:
        raise InputError(f"file {repr_truncated(file.name)} is empty; needed: {form.needed}")
    return file.data


def _check_options(pairs: Sequence[tuple[str, str]], form: Form) -> dict[str, str]:
    """Return the options by name; refuse unknown ones, those given twice and those too long."""
    options: dict[str, str] = {}
    for name, value in pairs:
        check_option(name, len(value))
        if name not in form.option_names:
            allowed = ", ".join((*form.files, *form.option_names))
            raise InputError(f"field {repr_truncated(name)} is unknown; allowed: {allowed}")
        if name in options:
            raise InputError(f"field {repr_truncated(name)} is given twice; allowed: once")
        options[name] = value
    return options
