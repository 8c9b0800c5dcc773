"""The one fact of EXIF that changes pixels: how the camera was held."""

import struct

_ORIENTATION = 0x0112
_VALUE_FORMATS = {3: "H", 4: "I"}  # SHORT as the standard says, LONG as some programs write


def read_orientation(exif: bytes) -> int:
    """The orientation of a TIFF structure, 1 to 8.

    Args:
        exif: from the byte order mark on, with or without the marker "Exif" before it.

    Returns:
        1 (as stored) where the tag is missing, out of range, or the structure is broken: viewers
        show such files, so refusing them would surprise.
    """
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return 1
    try:
        value = _first_directory_value(exif, order)
    except struct.error:
        return 1
    return value if 1 <= value <= 8 else 1


def _first_directory_value(exif: bytes, order: str) -> int:
    (directory,) = struct.unpack_from(order + "I", exif, 4)
    (entries,) = struct.unpack_from(order + "H", exif, directory)
    for entry in range(directory + 2, directory + 2 + 12 * entries, 12):
        tag, kind, count = struct.unpack_from(order + "HHI", exif, entry)
        if tag == _ORIENTATION and kind in _VALUE_FORMATS and count == 1:
            value: int = struct.unpack_from(order + _VALUE_FORMATS[kind], exif, entry + 8)[0]
            return value
    return 1
