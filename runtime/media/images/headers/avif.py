"""AVIF: the items of its description, and the frames of their bitstreams.

Source: AV1 Image File Format 1.1.
"""

from runtime.errors import DecodeError
from runtime.media.boxes import read_boxes
from runtime.media.images.headers.av1 import frame_sizes
from runtime.media.images.headers.items import Item, colours_of, orientation_of, read_items
from runtime.media.images.headers.still import AlphaSource, Still, check_size

_DEPTHS = {0: 8, 1: 10, 3: 12}  # bits of a sample, by the two highest bits of av1C's third byte


def read_avif(data: bytes, max_pixels: int) -> Still:
    """Read the header of an AVIF, or of the still picture of an animated one.

    The bitstreams have headers of their own, whose sizes are checked too: the decoder allocates
    frames by them.
    """
    primary, items = read_items(memoryview(data), "AVIF")
    if primary.kind == b"grid":
        raise DecodeError("AVIF is a grid of tiles; allowed: one picture")
    extent = primary.find(b"ispe")
    if primary.kind != b"av01" or extent is None:
        raise DecodeError("AVIF has no picture that is coded as AV1, or does not say its size")
    width, height = (int.from_bytes(extent[at : at + 4], "big") for at in (4, 8))
    check_size("AVIF", width, height, max_pixels)
    for item in items:
        if item.kind == b"av01" and item.stream is not None:
            for frame_width, frame_height in frame_sizes(item.stream):
                check_size("AVIF", frame_width, frame_height, max_pixels)
    file = _still_file(data)
    has_alpha = any(item.find(b"auxC") is not None for item in items)
    maximum = (1 << _bits(primary)) - 1
    alpha = AlphaSource(lambda: file, maximum=maximum) if has_alpha else None
    orientation = orientation_of(primary)
    return Still("AVIF", height, width, file, orientation, colours=colours_of(primary), alpha=alpha)


def _bits(item: Item) -> int:
    """Return the bits of a sample."""
    configuration = item.find(b"av1C")
    return _DEPTHS.get(configuration[2] >> 5 & 3, 8) if configuration else 8


def _still_file(data: bytes) -> bytes:
    """Return the file without the track of an animation, which the decoder would prefer.

    Boxes stay where they are, as the places of items count from the beginning of the file.
    """
    if b"avis" not in data[:256]:
        return data
    file = bytearray(data)
    end = 0
    for name, content in read_boxes(memoryview(data)):
        head = 16 if data[end : end + 4] == b"\0\0\0\1" else 8
        if name == b"ftyp":
            brands = bytes(content).replace(b"avis", b"avif")
            file[end + head : end + head + len(brands)] = brands
        elif name == b"moov":
            file[end + 4 : end + 8] = b"free"
        end += head + len(content)
    return bytes(file)
