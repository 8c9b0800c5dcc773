import os
import shutil
from pathlib import Path

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.server import measure_server, read_memory, serving
from tests.benchmarks.support.artifacts import FACES, MASKS, MEDIA


def test_start_and_memory_of_a_server_in_use(measurable: Path) -> None:
    media = dict.fromkeys((FACES, MASKS), MEDIA)
    result = measure_server(measurable, media, process_starts=2, clients=2)
    assert result.models == (FACES, MASKS)
    assert 0.1 < result.listening_s < result.ready_s  # importing onnxruntime takes longer anywhere
    for memory in (result.at_start, result.used, result.used_at_once):
        # Python, numpy, onnxruntime and OpenCV take more than 50 MB, these graphs next to nothing
        assert 50 < memory.resident_mb < 260
        assert memory.peak_mb >= memory.resident_mb
    assert result.used.peak_mb >= result.at_start.peak_mb
    assert result.clients == 2


def test_the_settings_of_the_environment_do_not_reach_the_server(
    measurable: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_QUEUE", "nonsense")
    monkeypatch.setenv("MAX_UPLOAD_SIZE", "1")
    monkeypatch.setenv("WORKERS", "nonsense")
    result = measure_server(measurable, {FACES: MEDIA}, process_starts=1, clients=1)
    assert result.ready_s > 0


def test_the_server_has_ended_after_the_block(measurable: Path) -> None:
    with serving(measurable) as server:
        read_memory(server.pid)
    with pytest.raises(BenchmarkError, match=rf"/proc/{server.pid}/status cannot be read"):
        read_memory(server.pid)


def test_an_invalid_artifact_raises_with_the_servers_message(
    measurable: Path, tmp_path: Path
) -> None:
    shutil.copytree(measurable, tmp_path / "copy")
    (tmp_path / "copy" / FACES / "1" / "float.onnx").write_bytes(b"other bytes")
    with (
        pytest.raises(BenchmarkError, match=r"(?s)the server refuses a model: .*float\.onnx"),
        serving(tmp_path / "copy"),
    ):
        pytest.fail("it started")


def test_an_answer_other_than_200_is_an_error(measurable: Path) -> None:
    with pytest.raises(BenchmarkError, match=r"POST /v1/models/no_such answered 404"):
        measure_server(measurable, {"no_such": MEDIA}, process_starts=1, clients=1)


def test_memory_is_in_megabytes() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    expected_mb = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    assert read_memory(os.getpid()).resident_mb == pytest.approx(expected_mb, rel=0.02)
