"""HEIC: a still picture that is coded as HEVC.

A picture of tiles, as phones write it, is refused by that name: it would have to be stitched.

Source: ISO/IEC 23008-12, annex B, and ISO/IEC 14496-12, 12.1.4 (clean aperture).
"""

from fractions import Fraction

from runtime.errors import DecodeError
from runtime.media.images.headers.items import Item, colours_of, orientation_of, read_items
from runtime.media.images.headers.still import AlphaSource, Coded, Still, check_size

# names of the auxiliary picture that is the opacity
ALPHA = (b"urn:mpeg:hevc:2015:auxid:1", b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha")


def read_heic(data: bytes, max_pixels: int) -> Still:
    """Read the header of a HEIC: its picture, the part of it that is shown, and its alpha."""
    primary, items = read_items(memoryview(data), "HEIC")
    if primary.kind == b"grid":
        raise DecodeError("HEIC is a grid of tiles as phones write it; allowed: one picture")
    coded = _coded(primary, max_pixels)
    alpha = next((item for item in items if _is_alpha(item)), None)
    return Still(
        "HEIC",
        coded.height,
        coded.width,
        b"",
        orientation_of(primary),
        colours=colours_of(primary),
        coded=coded,
        alpha=AlphaSource(lambda: b"", coded=_coded(alpha, max_pixels)) if alpha else None,
    )


def _coded(item: Item, max_pixels: int) -> Coded:
    """Return the bitstream of a picture and the part of it that is shown.

    Raises:
        DecodeError: it is not coded as HEVC, or does not say its size.
        TooLargeError: more than max_pixels.
    """
    extent, configuration = item.find(b"ispe"), item.find(b"hvcC")
    if item.kind != b"hvc1" or extent is None or configuration is None or item.stream is None:
        raise DecodeError("HEIC has no picture that is coded as HEVC, or does not say its size")
    width, height = (int.from_bytes(extent[at : at + 4], "big") for at in (4, 8))
    check_size("HEIC", width, height, max_pixels)
    left, top, shown_width, shown_height = 0, 0, width, height
    aperture = item.find(b"clap")
    if aperture is not None:
        left, shown_width = _shown(aperture[:8], aperture[16:24], width)
        top, shown_height = _shown(aperture[8:16], aperture[24:32], height)
    return Coded(
        stream=bytes(item.stream),
        configuration=bytes(configuration),
        top=top,
        left=left,
        height=shown_height,
        width=shown_width,
    )


def _shown(length: memoryview, offset: memoryview, side: int) -> tuple[int, int]:
    """Return first pixel and length of the clean aperture along one side.

    Args:
        length: numerator and denominator, of 4 bytes each.
        offset: the same, signed: from the middle of the picture to that of the aperture.
        side: px of the coded picture.

    Raises:
        DecodeError: the aperture is empty, or not inside the picture.
    """
    numbers = [int.from_bytes(part, "big") for part in (length[:4], length[4:])]
    shift = [int.from_bytes(part, "big", signed=True) for part in (offset[:4], offset[4:])]
    if numbers[1] and shift[1]:
        shown = Fraction(*numbers)
        first = Fraction(*shift) + (side - shown) / 2
        if shown >= 1 and first >= 0 and first + shown <= side:
            return int(first), int(shown)
    raise DecodeError("HEIC shows a part that is not inside its picture")


def _is_alpha(item: Item) -> bool:
    kind = item.find(b"auxC")
    return kind is not None and bytes(kind[4:]).rstrip(b"\0") in ALPHA
