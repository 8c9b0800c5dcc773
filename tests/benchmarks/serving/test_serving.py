"""The comparison of the server with a bare loop, run for a moment on small graphs."""

import os
import socket
import threading
import time
from pathlib import Path

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.serving import load
from benchmarks.serving.__main__ import main
from benchmarks.serving.bare_loop import Work
from benchmarks.serving.compare import Comparison, Round, cpu_seconds
from benchmarks.serving.load import Job, Load, body_size, build_request, run_load
from tests.benchmarks.support.artifacts import FACES, MEDIA


def test_a_quick_comparison_prints_a_row_per_number_of_clients(
    measurable: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "face.png"
    file.write_bytes(MEDIA[0])
    arguments = ["--artifacts", str(measurable), FACES, str(file), "--clients", "1", "3"]
    assert main([*arguments, "--quick", "--json", str(tmp_path / "figures.json")]) == 0
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [row.split("|")[3].strip() for row in rows] == ["1", "3"]
    assert (tmp_path / "figures.json").stat().st_size > 0


def test_batches_are_compared_with_requests_that_run_alone(
    measurable: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "face.png"
    file.write_bytes(MEDIA[0])
    arguments = ["--artifacts", str(measurable), FACES, str(file), "--clients", "3", "--batching"]
    assert main([*arguments, "--quick", "--protocol", "v2"]) == 0
    (row,) = capsys.readouterr().out.splitlines()[2:]
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells[:2] == [FACES, "3"]
    assert cells[6] == "1.0"  # rows a run: its artifact has no times


def test_an_answer_other_than_200_ends_the_load(measurable: Path, tmp_path: Path) -> None:
    file = tmp_path / "face.png"
    file.write_bytes(b"not a picture")
    assert main(["--artifacts", str(measurable), FACES, str(file), "--quick"]) == 1


def test_ratios_are_medians_over_the_rounds() -> None:
    def one_round(per_s: int, cpu_ms: float) -> Round:
        return Round(Work(100, 1.0, 0.5), Load(per_s, 1.0, 1.0, 1.5, 2.0), cpu_ms)

    rounds = (one_round(90, 5.5), one_round(50, 9.0), one_round(95, 5.3))
    comparison = Comparison("m", 1, 8, rounds)
    assert comparison.throughput_ratio == pytest.approx(0.9)
    assert comparison.extra_cpu_ms == pytest.approx(0.5)  # over 5 ms of the bare loop


def test_the_request_is_the_file_with_its_length(tmp_path: Path) -> None:
    file = tmp_path / "body"
    file.write_bytes(b"abc")
    job = Job("http://127.0.0.1:80/v1/models/m", str(file), 1, 1.0, {"X-A": "b"}, prefix="{}")
    head, _, body = build_request(job).partition(b"\r\n\r\n")
    assert body == b"{}abc"
    assert head.startswith(b"POST /v1/models/m HTTP/1.1\r\n")
    assert b"Content-Length: 5" in head
    assert b"X-A: b" in head


@pytest.mark.parametrize("head", [b"HTTP/1.1 503 Busy\r\nContent-Length: 2", b"HTTP/1.1 200 OK"])
def test_an_answer_must_be_200_with_a_length(head: bytes) -> None:
    with pytest.raises(BenchmarkError, match="expected 200"):
        body_size(head)


def test_a_server_that_closes_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "body"
    file.write_bytes(b"abc")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        closing = threading.Thread(target=lambda: listener.accept()[0].close())
        closing.start()
        with pytest.raises(BenchmarkError, match="the load on"):
            run_load(Job(f"http://127.0.0.1:{port}/", str(file), 1, 0.2))
        closing.join()


def test_a_server_that_never_answers_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "GRACE_S", 0.3)
    file = tmp_path / "body"
    file.write_bytes(b"abc")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(BenchmarkError, match=r"took longer than 0\.4 s"):
            run_load(Job(f"http://127.0.0.1:{port}/", str(file), 1, 0.1))


def test_cpu_seconds_grow_with_work() -> None:
    before = cpu_seconds(os.getpid())
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    assert cpu_seconds(os.getpid()) - before >= 0.08
