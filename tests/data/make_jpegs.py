"""Write the JPEG files of `jpeg/`: a picture with Huffman, arithmetic and lossless coding.

Pillow cannot write arithmetic coding. `jpegtran` of Debian's libjpeg-turbo-progs (2.1.5) recodes
the coefficients of a file, so that the pixels stay the same. No tool at hand writes lossless files:
`lossless` is the simplest form of ITU-T T.81, annex H.
"""

import struct
import subprocess
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.runtime.support.pictures import encode, rgb

FOLDER = Path(__file__).parent / "jpeg"
CODINGS = {"arithmetic": (), "arithmetic-progressive": ("-progressive",)}


def lossless(pixels: NDArray[np.uint8]) -> bytes:
    """Encode an SOF3 file that predicts each sample from its left neighbour.

    Args:
        pixels: (H, W, 3) uint8, RGB; the component ids R, G and B mark the file as RGB, not YCbCr.
    """
    height, width, _ = pixels.shape
    samples = pixels.astype(int)
    left = np.roll(samples, 1, axis=1)
    left[1:, 0] = samples[:-1, 0]  # the first sample of a row is predicted from the one above
    left[0, 0] = 128
    bits = "".join(map(_difference, (samples - left).ravel().tolist()))
    bits += "1" * (-len(bits) % 8)
    coded = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8))
    nine_codes_of_four_bits = bytes([0, 0, 0, 0, 9, *bytes(12), *range(9)])
    frame = struct.pack(">BHHB", 8, height, width, 3)
    return b"".join(
        (
            b"\xff\xd8",
            _segment(0xC4, nine_codes_of_four_bits),
            _segment(0xC3, frame + b"R\x11\0G\x11\0B\x11\0"),
            _segment(0xDA, b"\3R\0G\0B\0\1\0\0"),
            coded.replace(b"\xff", b"\xff\0"),
            b"\xff\xd9",
        )
    )


def _difference(value: int) -> str:
    """Return the number of bits as four bits, then the bits (of value - 1 if it is negative)."""
    count = abs(value).bit_length()
    rest = value if value > 0 else value + (1 << count) - 1
    return f"{count:04b}" + (f"{rest:0{count}b}" if count else "")


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def main() -> None:
    """Write three pictures in three codings each, and a corner of the first without loss."""
    FOLDER.mkdir(exist_ok=True)
    for name, mode in (("colour", "RGB"), ("grey", "L"), ("cmyk", "CMYK")):
        huffman = encode(rgb().convert(mode), "JPEG", quality=60)
        (FOLDER / f"{name}.jpg").write_bytes(huffman)
        for coding, options in CODINGS.items():
            command = ("jpegtran", "-arithmetic", *options, "-copy", "all")
            process = subprocess.run(command, input=huffman, stdout=subprocess.PIPE, check=True)
            (FOLDER / f"{name}-{coding}.jpg").write_bytes(process.stdout)
    (FOLDER / "colour-lossless.jpg").write_bytes(lossless(np.asarray(rgb())[:16, :16]))


if __name__ == "__main__":
    main()
