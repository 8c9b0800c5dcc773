"""A peer of a few lines goes through the whole harness; one that answers wrongly gets no figure."""

import dataclasses
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.peers import load
from benchmarks.peers.measure import Effort
from benchmarks.peers.process import PORT
from benchmarks.peers.servers import Place, Servers, measure_servers
from benchmarks.peers.table import MOBILENET, PYTHON, Peer, peers
from tests.benchmarks.peers.test_process import is_alive
from tests.support.artifacts import EMBEDDING, write_artifact

EFFORT = Effort(rounds=2, seconds=0.3, clients=(2,), start_timeout_s=60.0)


def fake(kind: str, mark: Path) -> Peer:
    return Peer(
        name=kind,
        model=MOBILENET,
        environment="",
        package="fake",
        command=(PYTHON, "-m", "tests.benchmarks.peers.fake_server", PORT, kind, str(mark)),
        path="/",
        body="upload",
        file_field="image",
        answer="embedding",
        settings={"kind": kind},
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Servers, list[Path]]:
    folder = tmp_path_factory.mktemp("peers")
    write_artifact(folder / "artifacts", EMBEDDING)
    photo = folder / "photo.jpg"
    gradient = np.linspace(0, 255, 64 * 48 * 3).astype(np.uint8).reshape(48, 64, 3)
    assert cv2.imwrite(str(photo), gradient)
    marks = [folder / "right.pid", folder / "wrong.pid"]
    own, bare, *_ = (peer for peer in peers(1) if peer.model == MOBILENET)
    absent = dataclasses.replace(fake("right", marks[0]), name="absent", environment="absent")
    table = [fake("right", marks[0]), fake("wrong", marks[1]), absent, own, bare]
    place = Place(folder / "artifacts", folder / "environments", photo)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(load, "generator", lambda: "our own")  # wrk takes whole seconds alone
        return measure_servers(table, place, {MOBILENET: EFFORT}, threads=1), marks


def test_the_right_peer_and_slipway_have_figures_of_every_round(
    measured: tuple[Servers, list[Path]],
) -> None:
    rows = [row for row in measured[0].rows if row.verified]
    assert [(row.peer, row.concurrency) for row in rows] == [
        ("right", 2), ("Slipway, 1 worker", 2), ("Bare HTTP, 1 thread", 2),
    ]  # fmt: skip
    for row in rows:
        assert row.turns == EFFORT.rounds
        assert row.requests_per_second
        assert row.cpu_seconds_per_request is not None
        assert row.memory_mb
        assert row.memory_mb > 20  # the whole tree: more than one interpreter
        assert row.cold_start_seconds
        assert row.answer == "cosine of the embedding 1.0000"


def test_the_wrong_peer_and_the_absent_one_are_errors_without_a_number(
    measured: tuple[Servers, list[Path]],
) -> None:
    rows = [row for row in measured[0].rows if not row.verified]
    assert {row.peer for row in rows} == {"wrong", "absent"}
    for row in rows:
        message = "a wrong answer: cosine" if row.peer == "wrong" else "is not installed"
        assert message in (row.error or "")
        assert row.requests_per_second is None
        assert row.cold_start_seconds is None


def test_no_process_of_a_peer_is_left(measured: tuple[Servers, list[Path]]) -> None:
    for mark in measured[1]:
        assert not is_alive(int(mark.read_text(encoding="ascii")))


def test_slipway_is_compared_with_its_limits_and_the_peers(
    measured: tuple[Servers, list[Path]],
) -> None:
    servers = measured[0]
    assert [row.model for row in servers.bare] == [MOBILENET]
    own = [(one.limit, one.concurrency) for one in servers.shares if one.peer.startswith("Slipway")]
    assert own == [("bare loop", 2), ("Bare HTTP, 1 thread", 2)]
    (verdict,) = servers.verdicts
    assert (verdict.peer, verdict.rounds) == ("right", EFFORT.rounds)
    assert verdict.verdict == "too few rounds"
    (note,) = servers.notes
    assert "2 rounds; a verdict takes 3." in note
