"""Boxes of MP4 files: found by their structure, whatever their sizes claim."""

import struct

import numpy as np
import pytest

from runtime.media.boxes import find_boxes, read_boxes


def box(name: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I4s", 8 + len(content), name) + content


def names(data: bytes) -> list[bytes]:
    return [name for name, _ in read_boxes(memoryview(data))]


def test_boxes_at_a_path_are_found() -> None:
    track = box(b"trak", box(b"tkhd", b"one") + box(b"mdia"))
    data = box(b"ftyp") + box(b"moov", box(b"mvhd") + track + box(b"trak", box(b"tkhd", b"two")))
    headers = find_boxes(memoryview(data), b"moov", b"trak", b"tkhd")
    assert [bytes(header) for header in headers] == [b"one", b"two"]


def test_long_and_open_sizes_are_read() -> None:
    long = struct.pack(">I4sQ", 1, b"mdat", 20) + b"long"
    open_ended = struct.pack(">I4s", 0, b"free") + b"to the end"
    boxes = list(read_boxes(memoryview(long + open_ended)))
    assert [(name, bytes(content)) for name, content in boxes] == [
        (b"mdat", b"long"), (b"free", b"to the end"),
    ]  # fmt: skip


@pytest.mark.parametrize("size", [2, 7])
def test_an_impossible_size_ends_the_boxes(size: int) -> None:
    assert names(box(b"ftyp") + struct.pack(">I4s", size, b"moov") + bytes(20)) == [b"ftyp"]


def test_a_box_that_is_cut_off_holds_what_is_there() -> None:
    (content,) = find_boxes(memoryview(box(b"moov", bytes(100))[:20]), b"moov")
    assert len(content) == 12


def test_random_bytes_raise_nothing() -> None:
    generator = np.random.default_rng(0)
    for _ in range(300):
        data = generator.integers(0, 4, 200, np.uint8).tobytes()
        list(find_boxes(memoryview(data), b"\0\0\1\0", b"\0\0\0\0"))
