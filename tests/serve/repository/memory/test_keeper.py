"""Room for loads and runs: free heap, waiting, eviction, refusal; and readiness."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from runtime.engine.cancellation import Cancellation
from runtime.errors import CancelledError, UnavailableError
from serve.repository.memory import keeper as keeper_module
from serve.repository.memory.budget import (
    CLIP_BYTES,
    LARGE_CLIP_BYTES,
    MIB,
    Limit,
    Usage,
    body_limit,
    decoder_share,
)
from serve.repository.memory.keeper import MemoryKeeper
from serve.repository.memory.ledger import Cost, Ledger


@dataclass
class Models:
    """Loaded models by id, the least recently used first, with what they keep in MiB."""

    kept: dict[str, int] = field(default_factory=dict)
    in_use: set[str] = field(default_factory=set)
    evicted: list[str] = field(default_factory=list)

    def resident(self) -> list[str]:
        return list(self.kept)

    def evictable(self) -> list[str]:
        return [name for name in self.kept if name not in self.in_use]

    def evict(self, model_id: str) -> bool:
        del self.kept[model_id]
        self.evicted.append(model_id)
        return True


def cost(kept: int, *, load: int = 0, run: int = 0, alone: bool = True) -> Cost:
    return Cost(kept * MIB, kept * MIB, max(load, kept) * MIB, run * MIB, 1000, 0.1, alone)


def keeper_of(models: Models, *, used: Callable[[], int] = lambda: 0) -> MemoryKeeper:
    """Return a keeper with 300 MiB allowed, of which the server without models takes 50."""
    limit = Limit("test", 300 * MIB * 12 // 11, lambda: used() * MIB)
    keeper = MemoryKeeper([limit], base_bytes=50 * MIB, usage=lambda: Usage(used() * MIB, 0))
    for name, kept in models.kept.items():
        keeper.ledger.record(name, cost(kept, run=20))
    keeper.serve(models)
    return keeper


def test_a_twelfth_stays_in_reserve_and_16_mib_at_least() -> None:
    assert Limit("test", 480 * MIB, lambda: 0).allowed_bytes == 440 * MIB
    text = str(Limit("cgroup v2", 480 * MIB, lambda: 0))
    assert text == "440 MiB may be taken of 480 (cgroup v2)"
    assert Limit("test", 128 * MIB, lambda: 0).allowed_bytes == 112 * MIB


def test_without_a_limit_everything_has_room() -> None:
    keeper = MemoryKeeper()
    with keeper.room(2**60, "anything"):
        assert keeper.free_bytes is None
    keeper.check()


def test_bodies_count_before_the_system_tells_them() -> None:
    keeper = keeper_of(Models({"a": 100}))
    bodies = [60 * MIB]
    keeper.count(lambda: sum(bodies))
    assert keeper.free_bytes == 90 * MIB
    with keeper.room(90 * MIB, "a run"):
        assert keeper.free_bytes == 0
    bodies.clear()
    assert keeper.free_bytes == 150 * MIB


def test_a_body_that_arrives_after_room_was_given_takes_none_of_it() -> None:
    # 50 MiB without models, 40 for bodies, and a heap of which 30 MiB more is free
    limit_bytes, arrived, heap_mib = 40 * MIB, 0, 80

    def used() -> int:
        return heap_mib + arrived // MIB

    keeper = keeper_of(Models(), used=used)
    keeper.count(lambda: arrived, coming_bytes=lambda: max(0, limit_bytes - arrived))
    assert keeper.free_bytes == 180 * MIB  # the free heap is in pieces that hold no body
    with keeper.room(180 * MIB, "a clip", in_decoder=True):
        assert keeper.free_bytes == 0
        arrived = 10 * MIB
        assert keeper.free_bytes == 0
        arrived = 40 * MIB
        assert keeper.free_bytes == 0
        arrived = 60 * MIB  # one alone may be larger
        assert keeper.free_bytes == -20 * MIB


@pytest.mark.parametrize("after_mib", [0, 40])
def test_bodies_that_arrive_or_end_while_the_system_tells_what_is_taken(after_mib: int) -> None:
    coming_mib = 40 - after_mib

    def usage() -> Usage:
        nonlocal coming_mib
        coming_mib = after_mib
        return Usage(0, 0)

    limit = Limit("test", 300 * MIB * 12 // 11, lambda: 0)
    keeper = MemoryKeeper([limit], base_bytes=0, usage=usage)
    keeper.count(lambda: 0, coming_bytes=lambda: coming_mib * MIB)
    assert keeper.free_bytes == 260 * MIB


@pytest.mark.parametrize(
    ("limits_mib", "allowed_mib"),
    [((), 80), ((1200,), 80), ((480,), 40), ((480, 240), 20), ((64,), 16)],
)
def test_bodies_have_as_much_as_the_reserve(limits_mib: tuple[int, ...], allowed_mib: int) -> None:
    limits = [Limit("test", mib * MIB, lambda: 0) for mib in limits_mib]
    sizes = {"largest_bytes": 14 * MIB, "most_bytes": 80 * MIB}
    assert body_limit(limits, **sizes) == allowed_mib * MIB
    assert body_limit(limits, largest_bytes=70 * MIB, most_bytes=80 * MIB) >= 70 * MIB


def test_runs_that_the_system_does_not_tell_yet_count_beside_free_heap(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    used_mib = 200  # 100 are planned; the rest is free heap, which may be in pieces
    released = []

    def release() -> bool:
        nonlocal used_mib
        used_mib = 100
        released.append(1)
        return True

    monkeypatch.setattr(keeper_module, "release_free_memory", release)
    keeper = keeper_of(Models({"a": 50}), used=lambda: used_mib)
    with keeper.room(60 * MIB, "the first run"):
        assert released == []
        assert keeper.free_bytes == 100 * MIB
        with keeper.room(60 * MIB, "the second run, where 200 + 60 + 60 may be taken"):
            assert released == [1]


def test_what_fits_evicts_nothing() -> None:
    models = Models({"a": 100, "b": 50})
    keeper = keeper_of(models)
    assert keeper.free_bytes == 100 * MIB
    with keeper.room(100 * MIB, "a run"):
        assert keeper.free_bytes == 0
        assert keeper.given_bytes == 100 * MIB
    assert keeper.free_bytes == 100 * MIB
    assert models.evicted == []


def test_the_least_recently_used_go_first_and_no_more_than_needed() -> None:
    models = Models({"old": 60, "older": 60, "new": 60})
    with keeper_of(models).room(150 * MIB, "a load"):
        assert models.evicted == ["old", "older"]


@dataclass
class Answers:
    """Stored answers."""

    used_bytes: int

    def clear(self) -> int:
        freed, self.used_bytes = self.used_bytes, 0
        return freed


def test_stored_answers_go_before_any_model() -> None:
    models = Models({"a": 100, "b": 50})
    keeper, answers = keeper_of(models), Answers(60 * MIB)
    keeper.add_spare(answers)
    assert keeper.free_bytes == 40 * MIB  # they count
    with keeper.room(90 * MIB, "a run"):
        assert (models.evicted, answers.used_bytes) == ([], 0)


def test_what_fits_leaves_stored_answers_alone() -> None:
    keeper, answers = keeper_of(Models({"a": 100})), Answers(60 * MIB)
    keeper.add_spare(answers)
    with keeper.room(90 * MIB, "a run"):
        assert answers.used_bytes == 60 * MIB


def test_a_server_is_not_unready_for_stored_answers() -> None:
    answers = Answers(100 * MIB)
    keeper = keeper_of(
        Models({"a": 100}, in_use={"a"}), used=lambda: 210 + answers.used_bytes // MIB
    )
    keeper.add_spare(answers)
    assert not keeper.is_short
    assert answers.used_bytes == 0


def test_a_model_in_use_stays_and_what_has_no_room_is_refused_at_once() -> None:
    models = Models({"busy": 100, "idle": 50}, in_use={"busy"})
    keeper = keeper_of(models)
    before_s = time.monotonic()
    message = r"loading big needs about 200 MiB: 150 MiB are free of 300 \(test\)"
    with pytest.raises(UnavailableError, match=message), keeper.room(200 * MIB, "loading big"):
        pass
    assert time.monotonic() - before_s < 5
    assert models.evicted == ["idle"]
    assert (keeper.refused, keeper.given_bytes, keeper.holders) == (1, 0, 0)


def test_a_run_that_ends_is_waited_for_before_a_model_goes() -> None:
    models = Models({"a": 100})
    keeper = keeper_of(models)
    entered, end = threading.Event(), threading.Event()

    def hold() -> None:
        with keeper.room(100 * MIB, "a run"):
            entered.set()
            end.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert entered.wait(60)
    threading.Timer(0.1, end.set).start()
    with keeper.room(100 * MIB, "another"):
        assert end.is_set()
    thread.join()
    assert models.evicted == []


def test_no_model_goes_if_that_would_not_help() -> None:
    models = Models({"a": 50})
    keeper = keeper_of(models)
    with (
        keeper.room(150 * MIB, "a run"),
        pytest.raises(UnavailableError),
        keeper.room(160 * MIB, "another", wait_s=0.8),  # longer than the patience
    ):
        pass
    assert models.evicted == []


def test_who_waits_is_told_that_nobody_needs_the_result() -> None:
    keeper = keeper_of(Models({"a": 200}, in_use={"a"}))
    cancellation = Cancellation()
    cancellation.cancel()
    with (
        keeper.room(40 * MIB, "a run"),
        pytest.raises(CancelledError),
        keeper.room(40 * MIB, "another", check=cancellation.check),
    ):
        pass


def test_what_the_system_tells_counts_if_it_is_more_than_planned() -> None:
    models = Models({"a": 50})
    keeper = keeper_of(models, used=lambda: 280)
    assert keeper.free_bytes == 20 * MIB
    keeper = keeper_of(models, used=lambda: 60)
    assert keeper.free_bytes == 200 * MIB  # the run that has just begun is not in the 60 yet


def test_free_heap_of_the_server_is_no_room_for_a_decoder_nor_is_what_others_take() -> None:
    limit = Limit("test", 300 * MIB * 12 // 11, lambda: 130 * MIB)
    usage = Usage(100 * MIB, 20 * MIB)  # and 10 MiB of others
    keeper = MemoryKeeper([limit], base_bytes=40 * MIB, usage=lambda: usage)
    assert keeper.free_bytes == 170 * MIB
    with keeper.room(50 * MIB, "a run"):
        assert keeper.free_bytes == 170 * MIB  # the run reuses the heap
    with keeper.room(100 * MIB, "a run"):
        assert keeper.free_bytes == 130 * MIB  # the decoders take theirs beside it
    with keeper.room(50 * MIB, "decoding", in_decoder=True):
        assert keeper.free_bytes == 140 * MIB


def test_work_outside_of_runs_has_its_memory() -> None:
    limit = Limit("test", 300 * MIB * 12 // 11, lambda: 0)
    keeper = MemoryKeeper(
        [limit], base_bytes=50 * MIB, work_bytes=48 * MIB, usage=lambda: Usage(0, 0)
    )
    assert keeper.free_bytes == 202 * MIB


def test_the_nearest_limit_counts() -> None:
    limits = [Limit("one", 300 * MIB * 12 // 11, lambda: 0), Limit("two", 160 * MIB, lambda: 0)]
    keeper = MemoryKeeper(limits, base_bytes=0, usage=lambda: Usage(0, 0))
    assert keeper.free_bytes == 144 * MIB


def test_readiness_turns_when_nothing_can_be_evicted_and_back_with_hysteresis() -> None:
    used, now_s = 290, 0.0
    models = Models({"a": 20})
    limit = Limit("test", 300 * MIB * 12 // 11, lambda: used * MIB)
    keeper = MemoryKeeper(
        [limit], base_bytes=0, clock=lambda: now_s, usage=lambda: Usage(used * MIB, 0)
    )
    keeper.serve(models)

    def short(value: int) -> bool:
        nonlocal used, now_s
        used, now_s = value, now_s + 1
        return keeper.is_short

    assert not short(299)
    assert not short(310)  # a model can be evicted
    models.in_use.add("a")
    assert short(310)
    with pytest.raises(UnavailableError, match="memory is used up: 0 MiB are free of 300"):
        keeper.check()
    assert short(299)
    assert short(271)
    assert not short(269)  # a tenth is free
    assert not short(299)


def test_a_load_that_was_measured_alone_is_kept() -> None:
    ledger = Ledger()
    ledger.record("a", cost(50, alone=False))
    assert ledger.kept_bytes("a") == 50 * MIB
    ledger.record("a", cost(10, load=30, run=8))
    ledger.record("a", cost(90, alone=False))
    assert ledger.kept_bytes("a") == 10 * MIB
    assert ledger.load_bytes("a", 1) == 30 * MIB
    assert ledger.load_bytes("b", 4 * MIB) == 104 * MIB  # never loaded: an estimate


def test_larger_inputs_need_more_and_smaller_ones_no_less() -> None:
    ledger = Ledger()
    ledger.record("a", cost(50, run=8))
    runs = [ledger.run_bytes("a", size) for size in (1, 1000, 3000)]
    assert runs == [8 * MIB, 8 * MIB, 24 * MIB]
    assert ledger.run_bytes("b", 1000) == 0


@pytest.mark.parametrize(("limit_mib", "count"), [(64, 1), (512, 1)])
def test_little_memory_allows_one_decoder(limit_mib: int, count: int) -> None:
    share = decoder_share([Limit("test", limit_mib * MIB, lambda: 0)], 3)
    assert (share.count, share.clip_bytes) == (count, CLIP_BYTES)


def test_much_memory_allows_as_many_decoders_as_without_limit() -> None:
    many = decoder_share([Limit("test", 2**40, lambda: 0)], 3)
    assert many == decoder_share([], 3)
    assert (many.count > 3, many.clip_bytes) == (True, LARGE_CLIP_BYTES)


def test_all_decoders_or_none_may_take_large_clips() -> None:
    for count in range(1, 6):
        limit = Limit("test", 2 * count * LARGE_CLIP_BYTES * 12 // 11 + 12, lambda: 0)
        share = decoder_share([limit], 3)
        assert share.count * share.clip_bytes <= limit.allowed_bytes // 2
        assert share.clip_bytes == (LARGE_CLIP_BYTES if count == 5 else CLIP_BYTES)


def test_a_clip_sets_the_memory_of_its_decoder_aside() -> None:
    keeper = keeper_of(Models())
    with keeper.clip_room(Cancellation(), 4 * MIB):
        assert keeper.given_bytes == CLIP_BYTES + 8 * MIB
        with pytest.raises(UnavailableError), keeper.room(100 * MIB, "a run", wait_s=0.1):
            pass


def test_room_that_is_only_made_is_not_held() -> None:
    models = Models({"a": 100, "b": 50}, in_use={"b"})
    keeper = keeper_of(models)
    keeper.make_room(200 * MIB, "a job")
    assert (models.evicted, keeper.given_bytes) == (["a"], 0)
    with pytest.raises(UnavailableError, match="a job needs about 201 MiB"):
        keeper.make_room(201 * MIB, "a job")
