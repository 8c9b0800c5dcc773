"""Compressed bodies: gzip, and deflate in the format of zlib."""

import re
import zlib
from collections.abc import Callable
from io import BytesIO

from starlette.responses import Response

from runtime.errors import InputError, TooLargeError

WINDOWS = {"gzip": 31, "deflate": 15}  # wbits of zlib, which say the format
ENCODINGS = tuple(WINDOWS)
PIECE_BYTES = 2**20  # that are inflated before they are counted
LEAST_BYTES = 1024  # of an answer; a shorter one would hardly become smaller
LEVEL = 1  # numbers shrink little, and level 6 takes four times as long
_MOST_HEADER = 256  # characters of Accept-Encoding that are read
_QUALITY = re.compile(r"\s*(gzip|deflate)\s*(?:;\s*q=([01](?:\.\d{0,3})?)\s*)?", re.IGNORECASE)


def encoding_of(header: str | None) -> str:
    """Return the name of a Content-Encoding that is read, in lower case; "" for none."""
    name = (header or "").strip().lower()
    return "" if name == "identity" else name


def inflate(
    body: bytes,
    encoding: str,
    *,
    limit_bytes: int,
    grow: Callable[[int], None] = lambda size_bytes: None,
) -> bytes:
    """Return a body without its compression; it is never larger than the limit.

    Args:
        body: as it arrived.
        encoding: one of ENCODINGS.
        limit_bytes: of the result.
        grow: takes the bytes of each piece, of up to PIECE_BYTES; raises if others need the room.

    Raises:
        InputError: the data are damaged, end early, or are followed by others.
        TooLargeError: the result is over the limit.
    """
    inflater = zlib.decompressobj(WINDOWS[encoding])
    data = BytesIO()
    rest = body
    while not inflater.eof:
        try:
            piece = inflater.decompress(rest, min(PIECE_BYTES, limit_bytes + 1 - data.tell()))
        except zlib.error as error:
            raise InputError(f"the body is not {encoding}: {error}") from None
        rest = inflater.unconsumed_tail
        if not piece and not rest:
            break
        if data.tell() + len(piece) > limit_bytes:
            del data, inflater, piece  # the traceback would keep them until the answer is sent
            raise TooLargeError(
                f"the request body inflates to more than {limit_bytes} bytes; allowed: "
                f"{limit_bytes} bytes (MAX_UPLOAD_SIZE)"
            )
        grow(len(piece))
        data.write(piece)
    if not inflater.eof:
        raise InputError(f"the {encoding} data of the body end early")
    if inflater.unused_data:
        count = len(inflater.unused_data)
        raise InputError(f"{count} bytes follow the {encoding} data of the body; allowed: none")
    return data.getvalue()


def accepted(header: str | None) -> str:
    """Return the encoding of ENCODINGS that Accept-Encoding prefers; "" if it names none."""
    best, best_quality = "", 0.0
    for part in (header or "")[:_MOST_HEADER].split(","):
        match = _QUALITY.fullmatch(part)
        quality = float(match[2] or 1) if match else 0.0
        if match and quality > best_quality:
            best, best_quality = match[1].lower(), quality
    return best


def compress(response: Response, encoding: str) -> Response:
    """Compress the body of an answer in place, if it is not short; return the answer.

    Args:
        response: an answer whose body is whole.
        encoding: one of ENCODINGS, or "" for none.
    """
    response.headers["Vary"] = "Accept-Encoding"
    if not encoding or len(response.body) < LEAST_BYTES:
        return response
    deflater = zlib.compressobj(LEVEL, wbits=WINDOWS[encoding])
    response.body = deflater.compress(response.body) + deflater.flush()
    response.headers["Content-Encoding"] = encoding
    response.headers["Content-Length"] = str(len(response.body))
    return response
