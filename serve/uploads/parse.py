"""The media and options of a request, from its three forms: multipart, base64 JSON, raw bytes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from runtime.errors import InputError, TooLargeError
from serve.text.quoting import quoted
from serve.uploads.contents import FIRST_BYTES, Content, Raw, files_of, from_json, from_multipart
from serve.uploads.form import Form

__all__ = ["Form", "Query", "Upload", "is_json", "parse_upload", "parse_uploads"]

MAX_TEXT_BYTES = 2**20  # of a body that is one text: 100 000 characters, each of them escaped

Query = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Upload:
    """What a request brought."""

    files: tuple[bytes, ...]  # encoded, in the form's order, then in the client's
    options: Mapping[str, str]


def is_json(content_type: str) -> bool:
    """Whether a Content-Type is JSON's."""
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == "application/json" or media_type.endswith("+json")


def parse_upload(body: bytes, *, content_type: str, query: Query, form: Form) -> Upload:
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
    content, fields = _read(body, content_type, query, form)
    return Upload(files_of(content, form), _checked_options(fields, form))


def parse_uploads(
    body: bytes, *, content_type: str, query: Query, form: Form, most: int
) -> Upload | tuple[Upload | InputError, ...]:
    """The same where the first field may repeat, in JSON as a list: one upload for each file.

    Args:
        body: the whole body.
        content_type: "" where the client sent none.
        query: the parameters of the address, in order.
        form: what the route takes of one file.
        most: how many files are taken.

    Returns:
        The upload where there is one file; else one for each, in order, or what is wrong with it.

    Raises:
        InputError: it is the request that is wrong, not one of several files.
        TooLargeError: there are more than `most`.
        UnsupportedMediaError: a multipart type other than form-data.
    """
    content, fields = _read(body, content_type, query, form)
    each = _each(content, form)
    if each is None:
        return Upload(files_of(content, form), _checked_options(fields, form))
    if not 1 <= len(each) <= most:
        found = f"field {quoted(form.files[0])} brings {len(each)} {form.noun}s"
        refusal = TooLargeError if each else InputError
        raise refusal(f"{found}; allowed in one request: 1 to {most} (SLIPWAY_MAX_FILES)")
    options = _checked_options(fields, form)
    return tuple(_upload_or_error(one, options, form) for one in each)


def _upload_or_error(
    content: Content, options: Mapping[str, str], form: Form
) -> Upload | InputError:
    try:
        return Upload(files_of(content, form), options)
    except InputError as error:
        return error


def _read(body: bytes, content_type: str, query: Query, form: Form) -> tuple[Content, Query]:
    """What a body holds, and the options as they came."""
    if not body:
        raise InputError(f"the request body is empty; needed: {form.needed}")
    if form.is_text and len(body) > MAX_TEXT_BYTES:
        raise TooLargeError(f"the body has {len(body)} bytes; allowed for text: {MAX_TEXT_BYTES}")
    media_type = content_type.partition(";")[0].strip().lower()
    split_at = [value for name, value in query if name == FIRST_BYTES]
    options = [(name, value) for name, value in query if name != FIRST_BYTES]
    if split_at and (form.counts[1] < 2 or is_json(content_type) or "multipart" in media_type):
        raise InputError(f"{FIRST_BYTES} is allowed only where two files are sent as a raw body")
    if media_type.startswith("multipart/"):
        content, fields = from_multipart(body, content_type, form)
    elif is_json(content_type):
        content, fields = from_json(body, form)
    else:
        content, fields = Raw(body, tuple(split_at)), []
    return content, [*options, *fields]


def _each(content: Content, form: Form) -> Sequence[Content] | None:
    """The content with one of its files at a time; None where it brings one, or needs them all."""
    first = form.files[0]
    if not form.separable or isinstance(content, Raw):
        return None
    if isinstance(content, Mapping):
        listed = content.get(first)
        return [{**content, first: file} for file in listed] if isinstance(listed, list) else None
    names = {part.name for part in content}
    if len(form.files) == 1 and len(names) == 1:
        (first,) = names  # whatever a client calls its file
    own = [part for part in content if part.name == first]
    rest = [part for part in content if part.name != first]
    return [[part, *rest] for part in own] if len(own) > 1 else None


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
