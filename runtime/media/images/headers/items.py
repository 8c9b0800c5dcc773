"""The items of an image in the container of MP4: AVIF and HEIC.

Source: ISO/IEC 23008-12 (HEIF), ISO/IEC 14496-12, 8.11 and 12.1.4.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from runtime.errors import DecodeError
from runtime.media.boxes import find_boxes, read_boxes
from runtime.media.images.colour.cicp import CodePoints
from runtime.media.images.headers.signature import ImageFormat
from runtime.media.images.headers.still import ColourTags

_MAX_ITEMS = 200  # a picture, its alpha, a thumbnail and metadata are five
# EXIF orientation by (quarter turns anti-clockwise, axis of the mirror); the turn comes first
_ORIENTATIONS: Mapping[tuple[int, int | None], int] = {
    (0, None): 1,
    (1, None): 8,
    (2, None): 3,
    (3, None): 6,
    (0, 0): 4,
    (0, 1): 2,
    (1, 0): 5,
    (1, 1): 7,
    (2, 0): 2,
    (2, 1): 4,
    (3, 0): 7,
    (3, 1): 5,
}


@dataclass(frozen=True, slots=True)
class Item:
    """One item: a picture, its alpha, or metadata."""

    kind: bytes  # av01, grid, Exif, ...
    properties: tuple[tuple[bytes, memoryview], ...]  # type and content
    stream: memoryview | None  # None: its place is not told

    def find(self, name: bytes) -> memoryview | None:
        """Return the content of a property, None if the item has no such property."""
        return next((content for kind, content in self.properties if kind == name), None)


class _Numbers:
    """A reader of big-endian numbers."""

    def __init__(self, data: memoryview) -> None:
        """Begin at the first byte."""
        self._data = data
        self._place = 0

    def read(self, count: int) -> int:
        """Return the next `count` bytes as a number.

        Raises:
            IndexError: there are fewer.
        """
        end = self._place + count
        if end > len(self._data):
            raise IndexError
        value = int.from_bytes(self._data[self._place : end], "big")
        self._place = end
        return value


def read_items(data: memoryview, container: ImageFormat) -> tuple[Item, list[Item]]:
    """Return the primary item and all items.

    Raises:
        DecodeError: there is no description, or it names no primary item.
        IndexError: the description ends within itself.
    """
    meta = next(find_boxes(data, b"meta"), None)
    if meta is None:
        raise DecodeError(f"{container} has no description of its picture")
    boxes = dict(read_boxes(meta[4:]))
    properties = _properties(boxes.get(b"iprp", meta[:0]))
    places = _streams(boxes.get(b"iloc", meta[:0]), data, boxes.get(b"idat", meta[:0]))
    items = {
        number: Item(kind, tuple(properties.get(number, ())), places.get(number))
        for number, kind in _kinds(boxes.get(b"iinf", meta[:0]))
    }
    primary = boxes.get(b"pitm", meta[:0])
    number = int.from_bytes(primary[4:], "big")
    if number not in items:
        raise DecodeError(f"{container} has no primary picture")
    return items[number], list(items.values())


def _kinds(info: memoryview) -> Iterator[tuple[int, bytes]]:
    """Yield number and type of each item."""
    if not info:
        return
    entries = info[6 if info[0] == 0 else 8 :]
    for name, entry in read_boxes(entries):
        if name == b"infe" and entry[0] in (2, 3):
            numbers = _Numbers(entry[4:])
            number = numbers.read(2 if entry[0] == 2 else 4)
            start = 8 if entry[0] == 2 else 10
            yield number, entry[start : start + 4].tobytes()


def _properties(box: memoryview) -> dict[int, list[tuple[bytes, memoryview]]]:
    """Return the properties of each item."""
    shared = list(read_boxes(next(find_boxes(box, b"ipco"), box[:0])))
    properties: dict[int, list[tuple[bytes, memoryview]]] = {}
    for table in find_boxes(box, b"ipma"):
        numbers = _Numbers(table[4:])
        wide = table[3] & 1
        for _ in range(_count(numbers.read(4))):
            number = numbers.read(2 if table[0] == 0 else 4)
            for _ in range(numbers.read(1)):
                index = numbers.read(2) & 0x7FFF if wide else numbers.read(1) & 0x7F
                if 0 < index <= len(shared):
                    properties.setdefault(number, []).append(shared[index - 1])
    return properties


def _count(items: int) -> int:
    """Return a number of items; refuse more than a picture needs."""
    if items > _MAX_ITEMS:
        raise DecodeError(f"the image has {items} items; allowed: {_MAX_ITEMS}")
    return items


def _streams(table: memoryview, data: memoryview, idat: memoryview) -> dict[int, memoryview]:
    """Return the bytes of each item.

    Raises:
        DecodeError: an item has more bytes than the file.
    """
    if not table:
        return {}
    version, numbers = table[0], _Numbers(table[4:])
    sizes = numbers.read(2)
    offset_size, length_size, base_size = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_size = sizes & 15 if version else 0
    number_size = 2 if version < 2 else 4
    streams: dict[int, memoryview] = {}
    for _ in range(_count(numbers.read(number_size))):
        number = numbers.read(number_size)
        source = idat if version and numbers.read(2) & 15 == 1 else data
        numbers.read(2)  # the file that holds the data: this one
        base, parts, total = numbers.read(base_size), [], 0
        for _ in range(numbers.read(2)):
            numbers.read(index_size)
            start = base + numbers.read(offset_size)
            length = numbers.read(length_size)
            parts.append(source[start : start + length] if length else source[start:])
            total += len(parts[-1])
            if total > len(data):
                raise DecodeError("the image has a picture of more bytes than the file")
        streams[number] = parts[0] if len(parts) == 1 else memoryview(b"".join(parts))
    return streams


def orientation_of(item: Item) -> int:
    """Return the turn and mirror of an item as an EXIF orientation."""
    turn, mirror = item.find(b"irot"), item.find(b"imir")
    return _ORIENTATIONS[turn[0] & 3 if turn else 0, mirror[0] & 1 if mirror else None]


def colours_of(item: Item) -> ColourTags:
    """Return the ICC profile of an item, or else its code points."""
    points = None
    for name, content in item.properties:
        if name == b"colr" and content[:4].tobytes() in (b"prof", b"rICC"):
            return ColourTags(bytes(content[4:]))
        if name == b"colr" and content[:4].tobytes() == b"nclx":
            numbers = _Numbers(content[4:])
            points = CodePoints(numbers.read(2), numbers.read(2))
    return ColourTags(code_points=points)
