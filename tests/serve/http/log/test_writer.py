import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from serve.http.log.writer import LINE_BYTES, WRITE_BYTES, LineWriter


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_lines_are_written_in_order(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        writer = LineWriter(file.fileno())
        for index in range(100):
            writer.write(f"line {index} \udce9")
        assert writer.drain(10)
    assert path.read_text().splitlines() == [f"line {index} \\udce9" for index in range(100)]


def test_a_long_line_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with path.open("wb") as file:
        writer = LineWriter(file.fileno())
        writer.write("x" * 10**6)
        assert writer.drain(10)
    assert path.read_bytes() == b"x" * LINE_BYTES + b"\n"


@pytest.mark.parametrize("blocking", [True, False])
def test_a_pipe_that_is_not_read_loses_lines_and_counts_them(blocking: bool) -> None:
    reader, descriptor = os.pipe()
    os.set_blocking(descriptor, blocking)
    writer = LineWriter(descriptor, waiting_bytes=2**16)
    line = "x" * 999
    for _ in range(1000):  # the pipe takes 65 of them, and the queue as many; the rest returns
        writer.write(line)
    assert not writer.drain(0.05)
    os.set_blocking(reader, False)
    received = _read(reader, writer)
    writer.write("last")
    received += _read(reader, writer)
    lines = received.decode().splitlines()
    lost = [int(line.split()[1]) for line in lines if line.endswith("lines of the log were lost")]
    assert set(lines) >= {line, "last"}
    assert sum(lost) == 1000 - lines.count(line)
    assert sum(lost) > 800


def _read(reader: int, writer: LineWriter) -> bytes:
    """Read what the writer writes until it has nothing left."""
    received = b""
    while True:
        is_drained = writer.drain(0.01)
        try:
            received += os.read(reader, 2**16)
        except BlockingIOError:
            if is_drained:
                return received


def test_lines_on_a_full_disk_are_counted_when_there_is_room_again(tmp_path: Path) -> None:
    descriptor = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(OSError, match="No space left") as refusal:
        os.write(descriptor, b"x")
    assert refusal.value.errno == errno.ENOSPC
    writer = LineWriter(descriptor)
    for _ in range(7):
        writer.write("lost")
    assert writer.drain(10)
    path = tmp_path / "log"
    with path.open("wb") as file:
        os.dup2(file.fileno(), descriptor)
    for text in ("first", "second"):
        writer.write(text)
    assert writer.drain(10)
    assert path.read_text() == "serve: 7 lines of the log were lost\nfirst\nsecond\n"


def test_a_line_after_a_torn_one_begins_at_its_own_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    pieces = iter([3, None])

    def fill(descriptor: int, data: bytes) -> int:
        match next(pieces, 0):
            case 3:
                return write(descriptor, bytes(data)[:3])
            case None:
                raise OSError(errno.ENOSPC, "full")
            case _:
                return write(descriptor, data)

    path = tmp_path / "log"
    with path.open("wb") as file:
        writer = LineWriter(file.fileno())
        monkeypatch.setattr(os, "write", fill)
        for text in ("torn", "whole"):
            writer.write(text)
            wait_for(lambda: writer.drain(1))
    assert path.read_text() == "tor\nserve: 1 lines of the log were lost\nwhole\n"


def test_lines_that_follow_each_other_are_written_together_as_a_pipe_keeps_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[bytes] = []

    def write(descriptor: int, data: bytes) -> int:
        written.append(bytes(data))
        return len(data)

    monkeypatch.setattr(os, "write", write)
    writer = LineWriter(-1)
    line = "x" * 999
    for _ in range(10):
        writer.write(line)
    assert writer.drain(10)
    assert b"".join(written) == (line.encode() + b"\n") * 10
    assert len(written) < 10
    assert max(map(len, written)) <= WRITE_BYTES
