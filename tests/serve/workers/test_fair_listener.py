"""Connections are spread over the workers that serve, and over the others if one does not come."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress

import pytest

from serve.http.listener import listen
from serve.workers import fair_listener
from serve.workers.board import Board
from serve.workers.fair_listener import FairListener


@pytest.fixture
def board() -> Board:
    return Board(2)


@pytest.fixture
def ends(board: Board) -> Iterator[list[FairListener]]:
    """Yield both workers' ends of one listening socket."""
    with listen("127.0.0.1", 0) as listener, ExitStack() as stack:
        listener.setblocking(False)
        yield [
            stack.enter_context(
                FairListener(socket.socket(fileno=os.dup(listener.fileno())), board.row(number))
            )
            for number in range(board.workers)
        ]


def connect(ends: list[FairListener], stack: ExitStack, count: int) -> None:
    address = ends[0].getsockname()
    for _ in range(count):
        stack.enter_context(socket.create_connection(address, timeout=30))


def accept_all(end: FairListener, stack: ExitStack) -> list[socket.socket]:
    """Accept as asyncio does in one turn of its loop."""
    connections = []
    with suppress(BlockingIOError):
        while True:
            connections.append(stack.enter_context(end.accept()[0]))
    return connections


def test_a_burst_of_connections_is_shared(board: Board, ends: list[FairListener]) -> None:
    with ExitStack() as stack:
        connect(ends, stack, 8)
        for _ in range(8):
            for end in ends:
                accept_all(end, stack)
        assert [board.row(number).connections for number in (0, 1)] == [4, 4]
    assert [board.row(number).connections for number in (0, 1)] == [0, 0]


def test_a_worker_that_does_not_come_leaves_its_connections_to_the_other(
    board: Board, ends: list[FairListener]
) -> None:
    with ExitStack() as stack:
        connect(ends, stack, 3)
        for _ in range(1000):
            accept_all(ends[0], stack)
            if board.row(0).connections == 3:
                break
        assert board.row(0).connections == 3


def test_each_new_connection_is_left_to_the_other_first(
    board: Board, ends: list[FairListener], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock_s = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: clock_s)
    with ExitStack() as stack:
        connect(ends, stack, 2)
        assert len(accept_all(ends[0], stack)) == 1
        assert len(accept_all(ends[0], stack)) == 0  # the other one's turn
        assert len(accept_all(ends[1], stack)) == 1
        connect(ends, stack, 1)
        assert len(accept_all(ends[1], stack)) == 1
        clock_s += 60
        connect(ends, stack, 1)
        assert len(accept_all(ends[1], stack)) == 0
        clock_s += 0.6 * fair_listener.PATIENCE_S
        assert len(accept_all(ends[1], stack)) == 0
        clock_s += 0.6 * fair_listener.PATIENCE_S
        assert len(accept_all(ends[1], stack)) == 1


def test_a_worker_that_serves_no_more_is_not_waited_for(
    board: Board, ends: list[FairListener]
) -> None:
    with ExitStack() as stack:
        ends[1].close()
        connect(ends, stack, 3)
        assert len(accept_all(ends[0], stack)) == 3
