"""Jobs that misbehave as a broken or subverted decoder may, to replace the ones of the runtime.

`IsolatedDecoders(jobs=HOSTILE_JOBS)` takes the module. The first word of the "file" names the
misbehaviour, the last one often a path.
"""

import contextlib
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
from runtime.media.isolation.wire import MAX_REPLY_BYTES, Message, array_message

BLOCK = np.full(1600, 0.5, np.float32)
FOREVER_S = 600  # longer than any test waits: the pool has to kill the worker


def hang_in_native_code(data: bytes) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    time.sleep(FOREVER_S)


def spin(data: bytes) -> None:
    while True:
        pass


def crash(data: bytes) -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


def abort(data: bytes) -> None:
    os.abort()


def killed(data: bytes) -> None:
    """End as the OOM killer ends a process, every time."""
    os.kill(os.getpid(), signal.SIGKILL)


def killed_once(data: bytes) -> None:
    """End as the OOM killer ends a process, if the path in the data does not exist yet."""
    if not _path_in(data).exists():
        _path_in(data).touch()
        os.kill(os.getpid(), signal.SIGKILL)


def exit_at_once(data: bytes) -> None:
    os._exit(3)


def close_connection(data: bytes) -> None:
    """Close everything that leads to the pool, and go on running."""
    for fd in range(3, 64):
        with contextlib.suppress(OSError):
            os.close(fd)
    time.sleep(FOREVER_S)


def allocate(data: bytes) -> None:
    arrays = [np.ones(2**20) for _ in range(4096)]  # 32 GiB
    assert len(arrays) == 4096


_KEPT: list[bytes] = []


def leave_holes(data: bytes) -> None:
    """Fill 64 MB of the heap, and free all but its end."""
    blocks = [bytes(1000) for _ in range(64_000)]
    _KEPT.append(blocks[-1])


def start_process(data: bytes) -> None:
    """Start a process, write its id to the path in the data, and hang."""
    process = subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({FOREVER_S})"])
    _path_in(data).write_text(str(process.pid), encoding="utf-8")
    time.sleep(FOREVER_S)


def fail(data: bytes) -> None:
    raise ZeroDivisionError("a bug in the job")


def refuse(data: bytes) -> None:
    raise TooLargeError("as a decoder refuses")


def print_much(data: bytes) -> None:
    for fd in (0, 1, 2):
        os.write(fd, b"a library prints this\n" * 10_000)


def wait_for(data: bytes) -> None:
    """Work until the path in the data exists."""
    while not _path_in(data).exists():
        time.sleep(0.01)


class _CreateFile:
    """An object whose unpickling creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (str(self.path), "w")


def send_pickle(data: bytes) -> None:
    """Send a pickle that creates the path in the data wherever it is loaded."""
    content = pickle.dumps(_CreateFile(_path_in(data)))
    _write_to_pool(struct.pack("!i", len(content)) + content)


def stop_within_message(data: bytes) -> None:
    """Announce a frame of 1000 bytes and send half of it."""
    _disable_alarm()
    _write_to_pool(struct.pack("!i", 1000) + bytes(500))
    time.sleep(FOREVER_S)


def drip_within_message(data: bytes) -> None:
    """Send a frame a byte at a time, so that no single read waits long."""
    _disable_alarm()
    _write_to_pool(struct.pack("!i", 1_000_000))
    while True:
        _write_to_pool(b" ")
        time.sleep(0.02)


def announce_too_much(data: bytes) -> None:
    """Announce a reply with more data than the pool reads."""
    head = b'{"kind": "part", "fields": {}}'
    _write_to_pool(struct.pack("!i", len(head)) + head + struct.pack("!i", MAX_REPLY_BYTES + 1))
    time.sleep(FOREVER_S)


def end_and_stop_reading(data: bytes) -> None:
    """Send the end of the answer, so that the pool sends the next request, and never read it."""
    head = b'{"kind": "end", "fields": {}}'
    _write_to_pool(struct.pack("!i", len(head)) + head + struct.pack("!i", 0))
    time.sleep(FOREVER_S)


def echo(data: bytes) -> None:
    return None


MISBEHAVIOURS: Mapping[str, Callable[[bytes], None]] = {
    function.__name__: function
    for function in (
        hang_in_native_code,
        spin,
        crash,
        abort,
        killed,
        killed_once,
        exit_at_once,
        close_connection,
        allocate,
        leave_holes,
        start_process,
        fail,
        refuse,
        print_much,
        wait_for,
        send_pickle,
        stop_within_message,
        drip_within_message,
        announce_too_much,
        end_and_stop_reading,
        echo,
    )
}


def sound(arguments: Mapping[str, Any], data: bytes) -> Iterator[Message]:
    """Yield a block, misbehave as the data say, and yield another block; or an invalid one."""
    name = data.decode().split()[0]
    if name == "spin_at_once":
        _path_in(data).touch()
        spin(data)
    yield array_message({}, BLOCK)
    if name in ("drip", "drip_seconds"):
        block = np.zeros(16_000 if name == "drip_seconds" else 160, np.float32)
        for _ in range(20):
            time.sleep(0.05)
            yield array_message({}, block)
        return
    if name == "drip_killed_once":
        for index in range(20):
            time.sleep(0.03)
            if index == 16:
                killed_once(data)
            yield array_message({}, np.zeros(160, np.float32))
        return
    if name in MISBEHAVIOURS:
        MISBEHAVIOURS[name](data)
        yield array_message({}, BLOCK)
        return
    yield {
        "wrong_dtype": array_message({}, np.zeros(4)),
        "wrong_shape": Message("part", {"dtype": "float32", "shape": [2**40]}, b"1234"),
        "objects": Message("part", {"dtype": "object", "shape": [1]}, bytes(8)),
        "too_long": array_message({}, np.zeros(10**7, np.float32)),
    }[name]


def clip(arguments: Mapping[str, Any], data: bytes) -> Iterator[Message]:
    """Yield frames with invalid fields, or one part after another, or none."""
    frames = np.zeros((1, 2, 2, 3), np.uint8)
    if data == b"invalid_fields":
        yield array_message({"indices": "all"}, frames)
    fields = {"indices": [0], "clip_frames": 1, "times_s": [0.0], "by_seeking": False}
    while data == b"many_parts":
        yield array_message(fields, frames)


JOBS = {"sound": sound, "clip": clip}


def _path_in(data: bytes) -> Path:
    return Path(data.decode().split()[-1])


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
    except OSError:  # the descriptor by which the folder was listed is closed by now
        return False
