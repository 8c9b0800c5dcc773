"""Room in memory for large pictures."""

import threading
from contextlib import nullcontext

import numpy as np
import pytest

from runtime.engine.cancellation import Cancellation
from runtime.errors import UnavailableError
from serve.repository.memory.budget import MIB, WORK_BYTES, Limit, Usage
from serve.repository.memory.keeper import MemoryKeeper
from serve.repository.memory.ledger import Cost
from serve.repository.memory.pictures import picture_room
from tests.support.images import solid

PICTURE = solid(10, 20, 30, height=1000, width=2000)
PIXEL_BYTES = 2 * WORK_BYTES // 2_000_000  # so that a picture needs about WORK_BYTES more
FEEDS = {"image": np.zeros(1000, np.uint8)}


def keeper_of(limit_mib: int) -> MemoryKeeper:
    """Return a keeper with this much allowed, and a reserve of 16 MiB."""
    limit = Limit("test", (limit_mib + 16) * MIB, lambda: 0)
    return MemoryKeeper([limit], base_bytes=0, usage=lambda: Usage(0, 0))


def test_a_large_picture_holds_the_memory_of_its_pixels() -> None:
    keeper = keeper_of(100)
    with picture_room(keeper, [b"text", PICTURE], Cancellation(), pixel_bytes=PIXEL_BYTES):
        assert keeper.given_bytes == 2_000_000 * PIXEL_BYTES - WORK_BYTES
    assert keeper.given_bytes == 0


@pytest.mark.parametrize("files", [(), (b"no picture",), (solid(1, 2, 3),)])
def test_what_is_no_large_picture_needs_no_room(files: tuple[bytes, ...]) -> None:
    keeper = keeper_of(1)
    with picture_room(keeper, files, Cancellation(), pixel_bytes=PIXEL_BYTES):
        assert keeper.given_bytes == 0


def test_without_a_limit_no_room_is_held() -> None:
    keeper = MemoryKeeper()
    with picture_room(keeper, [PICTURE], Cancellation(), pixel_bytes=1000):
        assert keeper.given_bytes == 0


def test_a_picture_that_never_fits_is_refused() -> None:
    with (
        pytest.raises(UnavailableError, match=r"a picture of this size needs about \d+ MiB"),
        picture_room(keeper_of(10), [PICTURE], Cancellation(), pixel_bytes=PIXEL_BYTES),
    ):
        pytest.fail("it has room")


def test_a_second_picture_waits_for_the_first() -> None:
    keeper, order = keeper_of(30), ["first"]

    def second() -> None:
        with picture_room(keeper, [PICTURE], Cancellation(), pixel_bytes=PIXEL_BYTES):
            order.append("second")

    thread = threading.Thread(target=second)
    with picture_room(keeper, [PICTURE], Cancellation(), pixel_bytes=PIXEL_BYTES):
        thread.start()
        thread.join(0.3)
        order.append("end of the first")
    thread.join()
    assert order == ["first", "end of the first", "second"]


def test_a_run_takes_its_part_of_the_room_of_the_picture() -> None:
    keeper = keeper_of(40)
    keeper.ledger.record("m", Cost(0, 0, 0, 20 * MIB, 1000, 0.1, alone=True))
    with picture_room(keeper, [PICTURE], Cancellation(), pixel_bytes=PIXEL_BYTES) as run_room:
        held_bytes = keeper.given_bytes
        assert held_bytes > 20 * MIB
        with run_room("m", FEEDS, Cancellation()):
            assert keeper.given_bytes == held_bytes
        larger = {"image": np.zeros(1500, np.uint8)}  # 30 MiB
        with run_room("m", larger, Cancellation()):
            assert keeper.given_bytes == 30 * MIB
    assert isinstance(keeper.run_room("m", FEEDS, Cancellation(), held_bytes=2**30), nullcontext)
