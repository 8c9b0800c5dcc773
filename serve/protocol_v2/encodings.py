"""Encoded files and texts as BYTES in place of a tensor: the server decodes and preprocesses them.

An extension of this server, as OpenVINO Model Server has one for images. It is listed as
`encoded_media`, and the metadata of a model say what it takes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from runtime.artifact.manifest import Resample, Spec, Tokenize
from runtime.errors import InputError, TooLargeError
from runtime.media.signatures import type_name
from serve.protocol_v2.bytes_tensors import unpack_elements
from serve.text.messages import repr_truncated
from serve.uploads.base64_text import from_base64

EXTENSION = "encoded_media"
# BMP and MP3 begin with two bytes, as 1 of 65,536 tensors does
_IMAGES = ("JPEG", "PNG", "WebP", "GIF", "AVIF")
_SOUNDS = ("WAV audio", "FLAC audio", "Ogg")


@dataclass(frozen=True, slots=True)
class Medium:
    """A kind of files or texts that a model takes as BYTES."""

    name: str  # of the input
    formats: str  # for people
    types: tuple[str, ...]  # that a raw body is recognized by; (): it needs none
    is_text: bool = False

    def recognizes(self, data: bytes) -> bool:
        """Return whether a raw body is encoded, and not a tensor."""
        return self.is_text or type_name(data) in self.types

    @property
    def parameters(self) -> dict[str, str]:
        """Return the parameters of the model's metadata that say so."""
        return {
            "encoded_media_input": self.name,
            "encoded_media_datatype": "BYTES",
            "encoded_media_shape": "[-1]",
            "encoded_media_formats": self.formats,
        }


def medium_of(spec: Spec) -> Medium | None:
    """Return what a model takes as BYTES; None if it takes its tensors alone."""
    match spec.preprocess:
        case (Tokenize(),):
            return Medium("text", "UTF-8 text", (), is_text=True)
        case (Resample(),):
            return Medium(spec.inputs[0].name, "WAV, FLAC, Ogg, MP3", _SOUNDS)
    first = spec.inputs[0]
    is_image = len(spec.inputs) == 1 and first.dtype == "uint8" and len(first.shape) == 4
    if not is_image:
        return None
    return Medium(first.name, "JPEG, PNG, WebP, BMP, GIF, AVIF", _IMAGES)


def is_encoded(content: Mapping[str, Any], medium: Medium) -> bool:
    """Return whether a request has the encoded input, not the tensor."""
    entries = content.get("inputs")
    return isinstance(entries, list) and any(
        isinstance(entry, dict)
        and entry.get("name") == medium.name
        and (medium.is_text or entry.get("datatype") == "BYTES")
        for entry in entries
    )


def media_of_bytes(
    entry: Mapping[str, Any], medium: Medium, data: memoryview, most: int
) -> tuple[bytes, ...]:
    """Return the media of a binary input, one for each row.

    Raises:
        InputError: its datatype or shape is another, or the lengths do not fill the bytes.
        TooLargeError: there are more than `most`.
    """
    return tuple(unpack_elements(data, _count(entry, medium, most), medium.name))


def media_of_json(entry: Mapping[str, Any], medium: Medium, most: int) -> tuple[bytes, ...]:
    """Return the media of strings: texts as they are, files in base64.

    Raises:
        InputError: as for `media_of_bytes`, or a string is not base64.
        TooLargeError: there are more than `most`.
    """
    count, data = _count(entry, medium, most), entry["data"]
    while isinstance(data, list) and len(data) == 1 and isinstance(data[0], list):
        (data,) = data
    if isinstance(data, list) and all(isinstance(item, list) and len(item) == 1 for item in data):
        data = [item[0] for item in data]
    if not isinstance(data, list) or not all(isinstance(item, str) for item in data):
        raise InputError(f"input {medium.name!r} has data of another form; allowed: strings")
    if len(data) != count:
        raise InputError(f"input {medium.name!r} has {len(data)} strings; allowed: {count}")
    if medium.is_text:
        return tuple(item.encode("utf-8") for item in data)
    return tuple(_decode(item, medium) for item in data)


def _decode(text: str, medium: Medium) -> bytes:
    decoded = from_base64(medium.name, orjson.dumps(text))
    if isinstance(decoded, InputError):
        raise decoded
    return decoded


def _count(entry: Mapping[str, Any], medium: Medium, most: int) -> int:
    """Return the media of an entry of a request: the shape is [N] or [N, 1]."""
    datatype, shape = entry.get("datatype"), entry.get("shape")
    if datatype != "BYTES":
        raise InputError(
            f"input {medium.name!r} has datatype {repr_truncated(datatype)}; allowed: BYTES"
        )
    sizes = shape if isinstance(shape, list) and shape[1:] in ([], [1]) else []
    if not sizes or type(sizes[0]) is not int or sizes[0] < 1:
        raise InputError(
            f"input {medium.name!r} has shape {repr_truncated(shape)}; allowed: [N], a "
            f"{'text' if medium.is_text else 'file'} each"
        )
    if sizes[0] > most:
        raise TooLargeError(
            f"input {medium.name!r} has {sizes[0]} elements; allowed: {most} (SLIPWAY_MAX_FILES)"
        )
    count: int = sizes[0]
    return count
