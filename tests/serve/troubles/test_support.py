"""The instruments of the suite itself."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.serve.troubles.support import memory
from tests.serve.troubles.support.catalogue import Exchange
from tests.serve.troubles.support.cgroup import Cgroup, memory_cgroup
from tests.serve.troubles.support.cpu import cpu_s
from tests.serve.troubles.support.table import Figures, Table
from tests.serve.troubles.support.trend import Trace
from tests.serve.troubles.support.wire import Answer

V1 = {
    "memory.limit_in_bytes": "536870912\n",
    "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
    "memory.stat": "cache 4096\nrss 8192\ntotal_cache 40960\ntotal_rss 81920\n",
}
V2 = {
    "memory.max": "536870912\n",
    "memory.events": "low 0\nhigh 0\nmax 17\noom 4\noom_kill 3\noom_group_kill 0\n",
    "memory.stat": "anon 81920\nfile 40960\nkernel 1024\n",
}
NO_LIMIT = {**V2, "memory.max": "max\n"}


@pytest.mark.parametrize(
    ("files", "version", "limit"),
    [(V1, 1, 536870912), (V2, 2, 536870912), (NO_LIMIT, 2, None)],
    ids=["v1", "v2", "v2 without a limit"],
)
def test_files_of_both_versions(
    tmp_path: Path, files: dict[str, str], version: int, limit: int | None
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="ascii")
    cgroup = Cgroup(tmp_path)
    assert cgroup.version == version
    assert cgroup.limit_bytes == limit
    assert cgroup.oom_kills == 3
    assert cgroup.anonymous_bytes == 81920


def test_where_no_cgroup_can_be_made(tmp_path: Path) -> None:
    with memory_cgroup(2**29, root=tmp_path / "none") as cgroup:
        assert cgroup is None


def test_a_process_over_the_limit_is_counted() -> None:
    with memory_cgroup(64 * 2**20) as cgroup:
        if cgroup is None:
            pytest.skip("a cgroup v1 cannot be made here")
        code = "data = b'x' * 10**8"
        enter = f'echo $$ > {cgroup.path}/tasks && exec {sys.executable} -S -c "{code}"'
        done = subprocess.run(["/bin/sh", "-c", enter], capture_output=True)
        assert done.returncode == -9
        assert cgroup.oom_kills == 1
    assert not cgroup.path.exists()


def test_memory_of_a_process_and_its_children() -> None:
    code = "data = bytearray(b'x') * 10**8; print(flush=True); import time; time.sleep(60)"
    nested = f"import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', {code!r}])"
    with subprocess.Popen([sys.executable, "-S", "-c", nested], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        tree = memory.process_tree(process.pid)
        try:
            assert len(tree) == 2
            assert 100 < memory.pss_mb(process.pid) < 140
            assert memory.rss_mb(process.pid) < 60
        finally:
            for pid in reversed(tree):
                os.kill(pid, 9)


def test_cpu_time_counts_work_and_not_sleep() -> None:
    before = cpu_s(os.getpid())
    end = time.process_time() + 0.2
    while time.process_time() < end:
        pass
    used = cpu_s(os.getpid()) - before
    assert 0.15 < used < 0.5


def test_a_missed_bound_is_a_row_and_a_failure() -> None:
    table = Table()
    figures = Figures("a trouble", table, margin=8)
    figures.at_most("wait", 1.9, 0.25, "s")
    figures.at_most("memory", 20, 16, "MB")
    figures.at_most("long wait", 11, 3, "s")
    assert figures.missed() == [
        "memory is 20 MB; allowed: <= 16 MB",
        "long wait is 11 s; allowed: <= 10 s",
    ]
    assert [line.endswith("MISSED") for line in table.lines()] == [False, False, True, True]


def test_slope_of_steady_growth_beside_jumps() -> None:
    trace = Trace([float(second) for second in range(100)])
    trace.sizes_mb = [200 + 0.5 * second + 90 * (second % 20 == 7) for second in range(100)]
    assert trace.slope_mb_per_s == pytest.approx(0.5, abs=0.01)
    assert trace.last(0.5).times_s[0] == pytest.approx(50, abs=1)
    assert trace.last(0.5).slope_mb_per_s == pytest.approx(0.5, abs=0.02)


def test_slope_of_a_single_jump() -> None:
    jump = Trace([float(second) for second in range(100)], [200.0] * 90 + [260.0] * 10)
    assert jump.slope_mb_per_s == 0


@pytest.mark.parametrize(
    ("status", "body", "fault"),
    [
        (200, b'{"model": "m", "result": {"label": "a", "confidence": 0.70001}}', ""),
        (200, b'{"model": "m", "result": {"label": "a", "confidence": 0.75}}', "another answer"),
        (200, b'{"model": "m", "result": {"label": "b", "confidence": 0.7}}', "another answer"),
        (500, b'{"error": "internal error"}', "status 500"),
    ],
    ids=["its own", "another number", "another label", "another status"],
)
def test_answers_that_are_not_those_of_their_request(status: int, body: bytes, fault: str) -> None:
    result = {"label": "a", "confidence": 0.7}
    exchange = Exchange(("POST", "/v1/models/{model}"), b"", frozenset((200,)), result, "m")
    answer = Answer(status, "HTTP/1.1", {"content-type": "application/json"}, body)
    sentence = exchange.fault(answer)
    assert fault in sentence
    assert bool(sentence) == bool(fault)
