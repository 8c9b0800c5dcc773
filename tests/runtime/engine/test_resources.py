"""CPUs by affinity and cgroup quota, and instruction sets by /proc/cpuinfo."""

import os
from pathlib import Path

import pytest

from runtime.engine.resources import cpu_count, cpu_features, memory_limit_mib, peak_memory_mib


@pytest.fixture(autouse=True)
def _four_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)


def write_v2(directory: Path, text: str) -> Path:
    (directory / "cpu.max").write_text(text)
    return directory


def write_v1(directory: Path, quota: str) -> Path:
    (directory / "cpu").mkdir()
    (directory / "cpu/cpu.cfs_quota_us").write_text(quota)
    (directory / "cpu/cpu.cfs_period_us").write_text("100000\n")
    return directory


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max 100000\n", 4),
        ("200000 100000\n", 2),
        ("250000 100000\n", 2),  # the kernel would throttle a third thread half of its time
        ("50000 100000\n", 1),
        ("800000 100000\n", 4),  # never over the affinity
    ],
)
def test_the_quota_of_cgroup_v2_limits_the_cpus(tmp_path: Path, text: str, expected: int) -> None:
    assert cpu_count(write_v2(tmp_path, text)) == expected


@pytest.mark.parametrize(("quota", "expected"), [("-1\n", 4), ("300000\n", 3), ("10000\n", 1)])
def test_the_quota_of_cgroup_v1_limits_the_cpus(tmp_path: Path, quota: str, expected: int) -> None:
    assert cpu_count(write_v1(tmp_path, quota)) == expected


def test_without_a_cgroup_the_affinity_limits_the_cpus(tmp_path: Path) -> None:
    assert cpu_count(tmp_path / "nowhere") == 4


def test_features_are_the_flags_of_the_first_cpu(tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    path.write_text("processor : 0\nflags\t\t: fpu avx2 avx512_vnni\nflags\t\t: other\n")
    assert cpu_features(path) == {"fpu", "avx2", "avx512_vnni"}
    path.write_text("Features\t: fp asimd asimddp\n")
    assert cpu_features(path) == {"fp", "asimd", "asimddp"}
    path.write_text("no such line\n")
    assert cpu_features(path) == frozenset()
    assert cpu_features(tmp_path / "nowhere") == frozenset()


def test_the_memory_limit_is_that_of_the_cgroup(tmp_path: Path) -> None:
    assert memory_limit_mib(tmp_path) is None
    (tmp_path / "memory").mkdir()
    v1 = tmp_path / "memory/memory.limit_in_bytes"
    v1.write_text("9223372036854771712\n")
    assert memory_limit_mib(tmp_path) is None
    v1.write_text("536870912\n")
    assert memory_limit_mib(tmp_path) == 512
    (tmp_path / "memory.max").write_text("max\n")
    assert memory_limit_mib(tmp_path) == 512
    (tmp_path / "memory.max").write_text("268435456\n")
    assert memory_limit_mib(tmp_path) == 256


def test_the_peak_memory_is_what_the_kernel_tells(tmp_path: Path) -> None:
    path = tmp_path / "status"
    path.write_text("Name:\tpython3\nVmHWM:\t  204800 kB\nVmRSS:\t  1024 kB\n")
    assert peak_memory_mib(path) == 200
    path.write_text("Name:\tpython3\n")
    assert peak_memory_mib(path) is None
    assert peak_memory_mib(tmp_path / "nowhere") is None
