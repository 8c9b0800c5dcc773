"""Every process that a server starts ends with it, on every path."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.peers.process import Request, keeping, started
from benchmarks.peers.tree import cpu_seconds, descendants, pss_bytes

# a child in another session, whose parent ends at once: an orphan
ORPHAN = """
import subprocess, sys
code = "import subprocess as s; "
code += "print(s.Popen(['sleep', '600'], start_new_session=True, stdout=s.DEVNULL).pid)"
pid = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True).stdout
open(sys.argv[1], "w").write(pid)
"""
STUBBORN = """
import signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
open(sys.argv[1], "w").write("0")
time.sleep(600)
"""
REQUEST = Request("/", b"", "text/plain", lambda body: 1.0)


def wait_for(path: Path) -> int:
    end = time.monotonic() + 20
    while not (path.exists() and path.read_text(encoding="ascii").strip()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return int(path.read_text(encoding="ascii"))


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_an_orphan_in_another_session_ends_with_the_block(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    code = f"{ORPHAN}\nimport time; time.sleep(600)"
    with keeping([sys.executable, "-c", code, str(mark)], {}, 60) as running:
        orphan = wait_for(mark)
        tree = descendants(running.process.pid)
        assert orphan in tree
        assert len(tree) == 2
        assert pss_bytes(tree) > 1_000_000
        assert cpu_seconds(tree) > 0
    assert not any(map(is_alive, tree))


def test_an_orphan_ends_when_the_command_has_ended(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    with keeping([sys.executable, "-c", ORPHAN, str(mark)], {}, 60) as running:
        assert running.process.wait(20) == 0
        assert not is_alive(wait_for(mark))


def test_all_end_when_the_time_is_over(tmp_path: Path) -> None:
    with keeping(["sleep", "600"], {}, 1) as running:
        assert running.process.wait(20) == 0
        assert descendants(running.process.pid) == []


def test_all_end_when_the_benchmark_is_killed(tmp_path: Path) -> None:
    code = (
        "from benchmarks.peers.process import keeping\nimport time\n"
        "with keeping(['sleep', '600'], {}, 60) as running:\n"
        "    print(running.process.pid, flush=True)\n    time.sleep(600)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    keeper = int(process.stdout.readline())
    while not (tree := descendants(keeper)):
        time.sleep(0.01)
    process.kill()
    process.wait()
    process.stdout.close()
    end = time.monotonic() + 20
    while any(map(is_alive, (keeper, *tree))):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_process_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    with keeping([sys.executable, "-c", STUBBORN, str(mark)], {}, 60) as running:
        wait_for(mark)
        (child,) = descendants(running.process.pid)
        running.process.terminate()
        running.process.wait(13)  # the keeper does it alone
    assert not is_alive(child)


def test_a_server_that_ends_or_does_not_answer_is_an_error_with_its_log() -> None:
    command = [sys.executable, "-c", "print('it broke'); exit(3)"]
    with (
        pytest.raises(BenchmarkError, match="ended with 3: it broke"),
        started(command, {}, REQUEST, start_timeout_s=60, life_s=90),
    ):
        pass
    with (
        pytest.raises(BenchmarkError, match="did not answer"),
        started(["sleep", "600"], {}, REQUEST, start_timeout_s=0.3, life_s=30),
    ):
        pass


def test_a_process_that_has_ended_counts_nothing() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    assert pss_bytes([process.pid]) == 0
    assert cpu_seconds([process.pid]) == 0.0
    assert descendants(process.pid) == []
    assert os.getpid() not in descendants(os.getpid())
