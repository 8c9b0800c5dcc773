"""Threads that run what is handed to them."""

import gc
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable

from serve.scheduling.workers import Workers

TIMEOUT_S = 30  # broken workers fail a test after this instead of hanging it


def waiting(event: threading.Event | threading.Barrier) -> Callable[[], None]:
    def wait() -> None:
        event.wait(TIMEOUT_S)

    return wait


def test_as_many_functions_run_at_once_as_there_are_threads() -> None:
    workers = Workers(2, name="test")
    together = threading.Barrier(3)
    for _ in range(2):
        workers.put(waiting(together))
    together.wait(TIMEOUT_S)
    assert workers.close(TIMEOUT_S)


def test_closing_waits_for_what_was_put_and_says_if_it_does_not_end() -> None:
    workers, log, gate = Workers(1, name="test"), list[str](), threading.Event()
    workers.put(lambda: log.append("put"))
    assert workers.close(TIMEOUT_S)
    assert log == ["put"]
    hung = Workers(1, name="test")
    hung.put(waiting(gate))
    assert not hung.close(0.01)
    gate.set()


def until_free(workers: Workers, count: int) -> None:
    end_s = time.monotonic() + TIMEOUT_S
    while len(workers._free) < count:
        assert time.monotonic() < end_s
        time.sleep(0.001)


class Request:
    """A large object that a function refers to."""


def test_a_request_does_not_stay_in_memory_until_the_next_one() -> None:
    workers, request, done = Workers(1, name="test"), Request(), threading.Event()
    alive = weakref.ref(request)

    def function_of(request: Request) -> Callable[[], None]:
        return lambda: (request, None)[1]

    workers.put(function_of(request))
    del request
    workers.put(done.set)
    assert done.wait(TIMEOUT_S)
    second = Request()
    second_alive = weakref.ref(second)
    workers.put(function_of(second))
    del second
    for _ in range(100):
        gc.collect()
        if second_alive() is None:
            break
        threading.Event().wait(0.01)
    assert alive() is None
    assert second_alive() is None
    assert workers.close(TIMEOUT_S)


def test_what_a_function_puts_at_its_end_runs_in_its_thread_though_another_is_free() -> None:
    workers, began, done = Workers(2, name="test"), threading.Event(), threading.Event()
    threads, was_begun = dict[str, int](), list[bool]()

    def next_one() -> None:
        threads["next"] = threading.get_ident()
        began.set()
        done.set()

    def first() -> None:
        threads["first"] = threading.get_ident()
        workers.continue_with(lambda: workers.put(next_one))
        was_begun.append(began.wait(0.2))  # the free thread would begin it meanwhile

    workers.put(first)
    assert done.wait(TIMEOUT_S)
    assert was_begun == [False]
    assert threads["next"] == threads["first"]
    assert workers.close(TIMEOUT_S)


def test_the_second_function_that_it_puts_wakes_another_thread() -> None:
    workers, together = Workers(2, name="test"), threading.Barrier(3)

    def put_two() -> None:
        workers.put(waiting(together))
        workers.put(waiting(together))

    workers.put(lambda: workers.continue_with(put_two))
    together.wait(TIMEOUT_S)  # one thread alone would wait for itself
    assert workers.close(TIMEOUT_S)


def test_the_thread_that_became_free_last_is_woken_and_no_other() -> None:
    workers, threads = Workers(4, name="test"), Counter[int]()
    for _ in range(20):
        until_free(workers, 4)
        done = threading.Event()

        def count(done: threading.Event = done) -> None:
            threads[threading.get_ident()] += 1
            done.set()

        workers.put(count)
        assert done.wait(TIMEOUT_S)
    assert list(threads.values()) == [20]
    assert workers.close(TIMEOUT_S)
