"""Share the memory of bodies and answers between clients, by bytes."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.types import Scope

from runtime.engine.allocator import release_free_memory
from serve.errors import OverloadedError

STALL_S = 1.0  # without progress, after which a transfer gives way to others
RELEASE_BYTES = 16 * 2**20  # in memory at once, after which free memory goes back to the system
RELEASE_S = 0.5  # after one of them is freed, unless other requests follow
GROW_S = 30.0  # for the event loop to count bytes of a worker; it takes less than a millisecond
PROGRESS_BYTES = 4096  # fewer in that time are no progress


@dataclass(slots=True, eq=False)
class Account:
    """The bytes of one body that arrives, or of one answer that is sent."""

    client: str  # the address
    give_up: Callable[[], None]  # ends the transfer, without waiting for it
    progress_s: float  # the loop's time of the last progress
    size_bytes: int = 0
    moved_bytes: int = 0  # since the last progress
    is_moving: bool = True  # false when a body is complete: its request is being answered
    is_lost: bool = False  # others needed the room

    def move(self, size_bytes: int) -> bool:
        """Note that bytes arrived or were sent; return whether that is progress."""
        self.moved_bytes += size_bytes
        if self.moved_bytes < PROGRESS_BYTES:
            return False
        self.moved_bytes = 0
        self.progress_s = asyncio.get_running_loop().time()
        return True


class ByteBudget:
    """A limit on the bytes of all bodies and answers in memory. Use it on the event loop only.

    The limit of one body does not bound them: 100 clients that send 10 MB each would take 1 GB.
    When the room is used up, a transfer that stalls gives way, then one of the client (address)
    that holds most. So neither stalled uploads nor one busy client stop the others.
    """

    def __init__(self, limit_bytes: int) -> None:
        """Allow `limit_bytes` at once; one body or answer alone may have more."""
        self._limit_bytes = limit_bytes
        self._accounts: dict[Account, None] = {}  # in the order of their start
        self._used_bytes = 0
        self._peak_bytes = 0  # since memory was released
        self._is_scheduled = False  # the next release

    @property
    def used_bytes(self) -> int:
        """Return the bytes of all accounts; other threads may read it too."""
        return self._used_bytes

    @property
    def free_bytes(self) -> int:
        """Return the bytes that may be added; other threads may read it too."""
        return max(0, self._limit_bytes - self._used_bytes)

    @contextmanager
    def open(self, client: str, give_up: Callable[[], None]) -> Iterator[Account]:
        """Open the account of a transfer; its bytes are free again when the block ends.

        Args:
            client: the address.
            give_up: ends the transfer when others need the room.
        """
        account = Account(client, give_up, asyncio.get_running_loop().time())
        self._accounts[account] = None
        try:
            yield account
        finally:
            self._close(account)
            if self._peak_bytes > RELEASE_BYTES and not self._is_scheduled:
                self._is_scheduled = True
                asyncio.get_running_loop().call_later(RELEASE_S, self._release)

    def grow(self, account: Account, size_bytes: int) -> None:
        """Add bytes to an account.

        Raises:
            OverloadedError: the others leave no room for them.
        """
        while not account.is_lost and not self._has_room(account, size_bytes):
            victim = self._stalled(account) or self._of_largest_client(account, size_bytes)
            if victim is None:
                break
            self._close(victim)
            victim.is_lost = True
            victim.give_up()
        if account.is_lost or not self._has_room(account, size_bytes):
            raise OverloadedError(
                f"bodies and answers of {self.used_bytes} bytes are in memory; "
                f"allowed at once: {self._limit_bytes} bytes; try again later",
                reason="bytes",
            )
        account.size_bytes += size_bytes
        self._used_bytes += size_bytes
        self._peak_bytes = max(self._peak_bytes, self._used_bytes)

    @contextmanager
    def open_in_worker(self, client: str) -> Iterator[Callable[[int], None]]:
        """Open the account of bytes that a worker makes from a body that is complete.

        Args:
            client: the address.

        Returns:
            A function that a worker thread calls to add bytes; it raises OverloadedError as `grow`.
        """
        loop = asyncio.get_running_loop()
        with self.open(client, lambda: None) as account:
            account.is_moving = False

            async def grow(size_bytes: int) -> None:
                self.grow(account, size_bytes)

            def grow_from_thread(size_bytes: int) -> None:
                asyncio.run_coroutine_threadsafe(grow(size_bytes), loop).result(GROW_S)

            yield grow_from_thread

    def _close(self, account: Account) -> None:
        """Take an account from the sum, once."""
        if account in self._accounts:
            del self._accounts[account]
            self._used_bytes -= account.size_bytes

    def _release(self) -> None:
        """Give free memory back while nothing is computed: the allocator would keep all of it."""
        self._is_scheduled = False
        is_computing = any(not account.is_moving for account in self._accounts)
        if self._peak_bytes > RELEASE_BYTES and not is_computing:
            self._peak_bytes = self.used_bytes
            release_free_memory()

    def _has_room(self, account: Account, size_bytes: int) -> bool:
        used_bytes = self._used_bytes
        return used_bytes + size_bytes <= self._limit_bytes or used_bytes == account.size_bytes

    def _stalled(self, account: Account) -> Account | None:
        """Return the transfer that is longest without progress, if it stalls."""
        latest = asyncio.get_running_loop().time() - STALL_S
        stalled = [
            other
            for other in self._accounts
            if other.is_moving and other is not account and other.progress_s <= latest
        ]
        return min(stalled, key=lambda other: other.progress_s, default=None)

    def _of_largest_client(self, account: Account, size_bytes: int) -> Account | None:
        """Return the last transfer of the client that holds most, if that is more than this one."""
        shares: Counter[str] = Counter()
        for other in self._accounts:
            shares[other.client] += other.size_bytes
        client, share_bytes = shares.most_common(1)[0]
        if share_bytes <= shares[account.client] + size_bytes:
            return None
        moving = [other for other in self._accounts if other.is_moving and other.client == client]
        return moving[-1] if moving else None


def client_of(scope: Scope) -> str:
    """Return the address of a request's client; "" if the server does not tell."""
    address = scope.get("client")
    return address[0] if address else ""


def end_now(timeout: asyncio.Timeout) -> Callable[[], None]:
    """Return a function that ends the block of a timeout at once."""
    return lambda: timeout.reschedule(asyncio.get_running_loop().time())
