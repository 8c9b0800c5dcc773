"""Jobs that do what a broken decoder does, in the place of `runtime.media.isolation.jobs`."""

import os
import pickle
import signal
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from runtime.errors import TooLargeError
from runtime.media.isolation.wire import MAX_REPLY_BYTES, Message, with_array

BLOCK = np.full(1600, 0.5, np.float32)


def hang_in_native_code(data: bytes) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    time.sleep(600)


def spin(data: bytes) -> None:
    while True:
        pass


def crash(data: bytes) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def abort(data: bytes) -> None:
    os.abort()


def leave(data: bytes) -> None:
    os._exit(3)


def close(data: bytes) -> None:
    for fd in range(3, 64):
        try:
            os.close(fd)
        except OSError:
            continue
    time.sleep(600)


def hoard(data: bytes) -> None:
    held = [np.ones(2**20) for _ in range(4096)]  # 32 GiB
    assert len(held) == 4096


def start_another(data: bytes) -> None:
    """Write the number of a grandchild to the file that the data name, and hang."""
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open(data.decode().split()[-1], "w", encoding="utf-8") as file:
        file.write(str(other.pid))
    time.sleep(600)


def fail(data: bytes) -> None:
    raise ZeroDivisionError("a fault of ours")


def refuse(data: bytes) -> None:
    raise TooLargeError("as a decoder refuses")


def print_much(data: bytes) -> None:
    for fd in (1, 2):
        os.write(fd, b"what a library prints\n" * 10_000)


def wait_for(data: bytes) -> None:
    """Work until the file exists that the data name."""
    while not Path(data.decode().split()[-1]).exists():
        time.sleep(0.01)


class _Payload:
    """What an attacker sends to a parent that unpickles: a call of `open` that makes a file."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


def send_pickle(data: bytes) -> None:
    content = pickle.dumps(_Payload(data.decode().split()[-1]))
    _write_to_pool(struct.pack("!i", len(content)) + content)


def stop_within_message(data: bytes) -> None:
    """Announce a frame of 1000 bytes and send half of it."""
    _disable_alarm()
    _write_to_pool(struct.pack("!i", 1000) + bytes(500))
    time.sleep(600)


def drip_within_message(data: bytes) -> None:
    """Send a frame a byte at a time, so that no single read waits long."""
    _disable_alarm()
    _write_to_pool(struct.pack("!i", 1_000_000))
    while True:
        _write_to_pool(b" ")
        time.sleep(0.02)


def announce_too_much(data: bytes) -> None:
    head = b'{"kind": "part", "facts": {}}'
    _write_to_pool(struct.pack("!i", len(head)) + head + struct.pack("!i", MAX_REPLY_BYTES + 1))
    time.sleep(600)


def end_and_stop_reading(data: bytes) -> None:
    """Say that the request is done, so that the pool sends another, and never read it."""
    head = b'{"kind": "end", "facts": {}}'
    _write_to_pool(struct.pack("!i", len(head)) + head + struct.pack("!i", 0))
    time.sleep(600)


def _disable_alarm() -> None:
    """Leave the deadline to the pool, as code that has taken a worker over would."""
    signal.setitimer(signal.ITIMER_REAL, 0)


def _write_to_pool(content: bytes) -> None:
    fds = (int(path.name) for path in Path("/proc/self/fd").iterdir())
    (fd,) = (fd for fd in fds if fd > 2 and _is_socket(fd))
    os.write(fd, content)


def _is_socket(fd: int) -> bool:
    try:
        return stat.S_ISSOCK(os.fstat(fd).st_mode)
    except OSError:  # the one that listed the folder is closed
        return False


def echo(data: bytes) -> None:
    return None


DEEDS: Mapping[str, Callable[[bytes], None]] = {
    "hang_in_native_code": hang_in_native_code,
    "spin": spin,
    "crash": crash,
    "abort": abort,
    "leave": leave,
    "close": close,
    "hoard": hoard,
    "start_another": start_another,
    "fail": fail,
    "refuse": refuse,
    "print_much": print_much,
    "wait_for": wait_for,
    "send_pickle": send_pickle,
    "stop_within_message": stop_within_message,
    "drip_within_message": drip_within_message,
    "announce_too_much": announce_too_much,
    "end_and_stop_reading": end_and_stop_reading,
    "echo": echo,
}


def sound(arguments: Mapping[str, Any], data: bytes) -> Iterator[Message]:
    """A block, the deed that the data name, another block; or an answer that is none."""
    yield with_array({}, BLOCK)
    name = data.decode().split()[0]
    if name.startswith("drip"):
        block = np.zeros(16_000 if name == "drip_much" else 160, np.float32)
        for _ in range(20):
            time.sleep(0.05)
            yield with_array({}, block)
        return
    if name in DEEDS:
        DEEDS[name](data)
        yield with_array({}, BLOCK)
        return
    yield {
        "dtype": with_array({}, np.zeros(4)),
        "shape": Message("part", {"dtype": "float32", "shape": [2**40]}, b"1234"),
        "object": Message("part", {"dtype": "object", "shape": [1]}, bytes(8)),
        "much": with_array({}, np.zeros(10**7, np.float32)),
    }[name]


def clip(arguments: Mapping[str, Any], data: bytes) -> Iterator[Message]:
    """Frames with facts that are not those of a clip, or twice, or none at all."""
    frames = np.zeros((1, 2, 2, 3), np.uint8)
    if data == b"facts":
        yield with_array({"indices": "all"}, frames)
    facts = {"indices": [0], "clip_frames": 1, "times_s": [0.0], "by_seeking": False}
    while data == b"again":
        yield with_array(facts, frames)


JOBS = {"sound": sound, "clip": clip}
