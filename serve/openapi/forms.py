"""The bodies and parameters of a form, in each form that clients send it."""

from typing import Any

from serve.openapi.operation import Parameter
from serve.openapi.schema import Json
from serve.settings import Settings
from serve.uploads.form import Form
from serve.uploads.options import FLAGS, Choice, Integer, Number, Option, Text, names_of

RAW = "application/octet-stream"
NOTES = {
    "image": "JPEG, PNG, WebP, BMP, GIF or AVIF",
    "sound": "WAV, FLAC, Ogg (Vorbis, Opus) or MP3",
    "video": "MP4, MOV, WebM, Matroska or AVI",
    "text": "UTF-8",
}


def query_parameters(form: Form, settings: Settings) -> list[Parameter]:
    """Return the options as parameters of the query, which a raw body has beside it."""
    return [
        Parameter(
            name=name,
            place="query",
            text=option.help,
            schema=option_schema(option, settings),
            deprecated=isinstance(option, Text) and name in option.deprecated,
        )
        for option in form.options
        for name in names_of(option)
    ]


def content(form: Form, settings: Settings) -> dict[str, Json]:
    """Return the schema of a body by media type."""
    options = {
        name: {**option_schema(option, settings), "description": option.help}
        | ({"deprecated": True} if isinstance(option, Text) and name in option.deprecated else {})
        for option in form.options
        for name in names_of(option)
    }
    required = [name for name in form.files if form.requires(name)]
    shape: Json = {"type": "object", "additionalProperties": False, "required": required}
    in_parts = {name: _files(form, name, settings, _part(form)) for name in form.files}
    in_json = {name: _files(form, name, settings, _value(form)) for name in form.files}
    bodies = {
        "multipart/form-data": {**shape, "properties": {**in_parts, **options}},
        "application/json": {**shape, "properties": {**in_json, **options}},
    }
    if form.counts[0] == 1:
        raw = "text/plain" if form.is_text else RAW
        bodies[raw] = {**_part(form), "description": f"the {form.noun} itself"}
    return bodies


def option_schema(option: Option, settings: Settings) -> Json:
    """Return the schema of an option, with the default and the limits that it is read by."""
    match option:
        case Choice(values=values) if values is FLAGS:
            return {"type": "boolean", "default": option.default}
        case Choice():
            return {"type": "string", "enum": _words(option), "default": option.default}
        case Number():
            return {
                "type": "number",
                "minimum": option.least,
                "maximum": option.most,
                "default": option.default,
            }
        case Integer():
            return {
                "type": "integer",
                "minimum": option.least,
                "maximum": option.most(settings),
                "default": option.default(settings),
            }
        case Text():
            longest = {} if option.longest is None else {"maxLength": option.longest}
            return {"type": "string", **longest, "examples": [option.example]}


def _words(option: Choice[Any]) -> list[str]:
    """Return the words of an option, each value once."""
    words: dict[Any, str] = {}
    for word, value in option.values.items():
        words.setdefault(value, word)
    return list(words.values())


def _files(form: Form, name: str, settings: Settings, one: Json) -> Json:
    """Return the schema of a field: one file, or a list where it may repeat."""
    is_first, is_last = name == form.files[0], name == form.files[-1]
    most = form.most if is_last else 1
    if form.takes_batches and is_first:
        most = settings.max_files
    if most == 1:
        return one
    return {"anyOf": [one, {"type": "array", "items": one, "minItems": 1, "maxItems": most}]}


def _part(form: Form) -> Json:
    if form.is_text:
        return {"type": "string", "minLength": 1}
    return {"type": "string", "format": "binary", "description": NOTES[form.noun]}


def _value(form: Form) -> Json:
    if form.is_text:
        return {"type": "string", "minLength": 1}
    encoded: Json = {
        "type": "string",
        "format": "byte",
        "contentEncoding": "base64",
        "description": f"{NOTES[form.noun]}, in base64",
    }
    if not form.objects:
        return encoded
    embedding = {"$ref": "#/components/schemas/Embedding"}
    return {"anyOf": [encoded, embedding]}
