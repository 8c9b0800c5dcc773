"""The boxes of an MP4, QuickTime or AVIF file.

Source: ISO/IEC 14496-12, 4.2, 8.3 and 8.4.3.
"""

import struct
from collections.abc import Iterator

_MAX_BOXES = 10_000  # in one parent; a fragmented clip of an hour has about that many


def read_boxes(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield type and content of the boxes that follow each other in a file or a box.

    A box that ends behind its parent is cut to it; one with an impossible size ends the iteration.
    """
    offset = 0
    for _ in range(_MAX_BOXES):
        if offset + 8 > len(data):
            return
        size, name = struct.unpack_from(">I4s", data, offset)
        head = 8
        if size == 1 and offset + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, offset + 8)
            head = 16
        elif size == 0:  # to the end
            size = len(data) - offset
        if size < head:
            return
        yield name, data[offset + head : offset + size]
        offset += size


def find_boxes(data: memoryview, *path: bytes) -> Iterator[memoryview]:
    """Yield the content of all boxes at a path of types, such as moov, trak, tkhd."""
    for name, content in read_boxes(data):
        if name == path[0]:
            if len(path) == 1:
                yield content
            else:
                yield from find_boxes(content, *path[1:])


def track_headers(data: bytes) -> Iterator[memoryview]:
    """Yield the content of the `tkhd` box of each video track, from its version on.

    Only boxes count: the four letters may also occur in the pixels or in a title.
    """
    for track in find_boxes(memoryview(data), b"moov", b"trak"):
        handlers = [box[8:12].tobytes() for box in find_boxes(track, b"mdia", b"hdlr")]
        if not handlers or b"vide" in handlers:
            yield from find_boxes(track, b"tkhd")
