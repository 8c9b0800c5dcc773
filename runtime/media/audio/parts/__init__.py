"""Split a sound file into parts that libsndfile decodes to their end.

Headers tell lengths that are not true: of joined files the first header tells its own length, a
recorder that was stopped wrote none, and live streams begin a new stream with each song. libsndfile
stops where the header says. Here the structure of the file decides.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice

from runtime.errors import DecodeError
from runtime.media.audio.containers import Container
from runtime.media.audio.parts.flac import split_flac
from runtime.media.audio.parts.mp3 import split_mp3
from runtime.media.audio.parts.ogg import split_ogg
from runtime.media.audio.parts.part import Part as Part
from runtime.media.audio.parts.wav import split_wav

MAX_PARTS = 256  # opening one takes about a millisecond

_SPLITTERS: Mapping[Container, Callable[[bytes], Iterator[Part]]] = {
    "wav": split_wav,
    "flac": split_flac,
    "ogg": split_ogg,
    "mp3": split_mp3,
}


def split_parts(data: bytes, container: Container) -> Sequence[Part]:
    """Return the parts of a sound file in order, at least one.

    Args:
        data: a whole file.
        container: of the file; "matroska" and "mp4" are one part, as PyAV reads them.

    Raises:
        DecodeError: more than MAX_PARTS.
    """
    splitter = _SPLITTERS.get(container)
    parts = list(islice(splitter(data), MAX_PARTS + 1)) if splitter else []
    if len(parts) > MAX_PARTS:
        raise DecodeError(f"the sound is joined from more than the {MAX_PARTS} parts allowed")
    return parts or [Part(data)]
