"""The arithmetic of the limits, what is missing for them, and a command inside."""

import os
import subprocess
from pathlib import Path

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.limits.cgroup import Cgroup, limited, limits, quota_us, version_of


@pytest.mark.parametrize(
    ("cpus", "quota"), [(0.1, 10_000), (0.5, 50_000), (1, 100_000), (2, 200_000)]
)
def test_cpus_are_microseconds_of_a_period(cpus: float, quota: int) -> None:
    assert quota_us(cpus) == quota


def test_less_than_a_hundredth_of_a_cpu_is_refused() -> None:
    with pytest.raises(BenchmarkError, match="allowed: 1000 or more"):
        quota_us(0.001)


def test_the_files_of_both_versions() -> None:
    assert limits(2, 512, 0.5) == ({"memory.max": "536870912"}, {"cpu.max": "50000 100000"})
    assert limits(1, 512, 2.0) == (
        {"memory.limit_in_bytes": "536870912"},
        {"cpu.cfs_period_us": "100000", "cpu.cfs_quota_us": "200000"},
    )


def v1_root(folder: Path, *controllers: str) -> Path:
    for name in controllers:
        (folder / name).mkdir()
        (folder / name / "cgroup.procs").touch()
    return folder


def test_version_2_needs_both_controllers_below_its_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    control = tmp_path / "cgroup.subtree_control"
    control.write_text("cpu io memory pids\n", encoding="ascii")
    assert version_of(tmp_path) == 2
    control.write_text("cpu\n", encoding="ascii")
    with pytest.raises(BenchmarkError, match=r"has cpu controllers .* lacks cpu and memory"):
        version_of(tmp_path)
    assert version_of(v1_root(tmp_path, "cpu", "memory")) == 1


def test_what_version_1_lacks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(BenchmarkError, match="version 1 lacks memory; needed: cpu and memory"):
        version_of(v1_root(tmp_path, "cpu"))


def test_another_user_than_root_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(BenchmarkError, match="made by root"), limited(512, 1.0, tmp_path):
        pass


def test_a_folder_that_is_no_cgroup_is_cleaned_up_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    root = v1_root(tmp_path, "cpu", "memory")
    with limited(512, 0.5, root) as group:
        assert (group.memory / "memory.limit_in_bytes").read_text(encoding="ascii") == "536870912"
        assert (group.cpu / "cpu.cfs_quota_us").read_text(encoding="ascii") == "50000"
        for file in (*group.memory.iterdir(), *group.cpu.iterdir()):
            file.unlink()  # of a real cgroup the kernel removes them
    assert sorted(path.name for path in root.glob("*/*")) == ["cgroup.procs", "cgroup.procs"]


def test_a_command_joins_every_cgroup_before_it_runs(tmp_path: Path) -> None:
    v1 = Cgroup(1, tmp_path / "memory", tmp_path / "cpu")
    for path in (v1.memory, v1.cpu):
        path.mkdir()
    process = subprocess.run(
        v1.command(["sh", "-c", "echo $$"]), capture_output=True, text=True, check=True
    )
    for path in (v1.memory, v1.cpu):
        assert (path / "cgroup.procs").read_text(encoding="ascii") == process.stdout
    v2 = Cgroup(2, tmp_path / "memory", tmp_path / "memory")
    assert v2.command(["true"]).count(str(v2.memory)) == 1


def test_a_command_that_cannot_join_does_not_run(tmp_path: Path) -> None:
    absent = Cgroup(2, tmp_path / "absent", tmp_path / "absent")
    process = subprocess.run(absent.command(["echo", "it ran"]), capture_output=True, check=False)
    assert process.returncode == 125
    assert process.stdout == b""


def test_the_memory_counts_sockets_and_what_the_kernel_cannot_drop(tmp_path: Path) -> None:
    group = Cgroup(1, tmp_path, tmp_path)
    (tmp_path / "memory.stat").write_text("cache 900\ntotal_rss 100\ntotal_shmem 20\n", "ascii")
    (tmp_path / "memory.kmem.tcp.usage_in_bytes").write_text("3\n", "ascii")
    (tmp_path / "memory.oom_control").write_text("under_oom 0\noom_kill 2\n", "ascii")
    assert group.used_bytes == 123
    assert group.oom_kills == 2
