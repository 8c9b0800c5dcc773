"""The orientation of the camera in EXIF, the only field of it that changes pixels."""

import struct

_ORIENTATION_TAG = 0x0112
_VALUE_FORMATS = {3: "H", 4: "I"}  # SHORT as the standard demands, LONG as some programs write


def read_orientation(exif: bytes) -> int:
    """Return the orientation in a TIFF structure, 1 to 8.

    Args:
        exif: the structure from its byte order mark, with or without the marker "Exif" before it.

    Returns:
        1 (as stored) if the tag is missing or out of range, or the structure is broken: viewers
        show such files, so users would not expect a refusal.
    """
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return 1
    try:
        value = _read_first_directory(exif, order)
    except struct.error:
        return 1
    return value if 1 <= value <= 8 else 1


def _read_first_directory(exif: bytes, order: str) -> int:
    """Return the value of the orientation tag, 1 if there is none."""
    (directory,) = struct.unpack_from(order + "I", exif, 4)
    (entries,) = struct.unpack_from(order + "H", exif, directory)
    for entry in range(directory + 2, directory + 2 + 12 * entries, 12):
        tag, value_type, count = struct.unpack_from(order + "HHI", exif, entry)
        if tag == _ORIENTATION_TAG and value_type in _VALUE_FORMATS and count == 1:
            value_format = order + _VALUE_FORMATS[value_type]
            value: int = struct.unpack_from(value_format, exif, entry + 8)[0]
            return value
    return 1
