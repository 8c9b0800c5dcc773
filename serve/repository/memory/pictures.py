"""Room in memory for large pictures, whose pixels take more than the graphs do."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from runtime.engine.cancellation import Cancellation
from runtime.engine.session import Feeds
from runtime.errors import InputError
from runtime.media.images.headers import read_still
from serve.repository.memory.budget import WORK_BYTES
from serve.repository.memory.keeper import MemoryKeeper

_ANY_SIZE = 2**62  # the limit of pixels is checked where the picture is decoded

RunRoom = Callable[[str, Feeds, Cancellation], AbstractContextManager[None]]


@contextmanager
def picture_room(
    keeper: MemoryKeeper,
    files: Sequence[bytes],
    cancellation: Cancellation,
    *,
    pixel_bytes: int,
) -> Iterator[RunRoom]:
    """Hold the memory of the largest picture; return what makes room for runs meanwhile.

    A run needs only what it takes over the picture's room: the most of both does not fall together.

    Args:
        keeper: of the server's memory; without limits nothing is read or held.
        files: encoded; what is no picture needs no room here.
        cancellation: of the request, which may wait for others to end.
        pixel_bytes: that the request takes for each pixel at most.

    Raises:
        UnavailableError: there is no room.
    """
    need_bytes = 0
    if keeper.limits:
        pixels = max((_pixels(file) for file in files), default=0)
        need_bytes = pixels * pixel_bytes - WORK_BYTES
    if need_bytes <= 0:
        yield keeper.run_room
        return
    with keeper.room(need_bytes, "a picture of this size", check=cancellation.check):
        yield partial(keeper.run_room, held_bytes=need_bytes)


def _pixels(file: bytes) -> int:
    """Return the number of pixels that a file claims; 0 for what is no picture."""
    try:
        still = read_still(file, max_pixels=_ANY_SIZE)
    except InputError:
        return 0
    return still.height * still.width
