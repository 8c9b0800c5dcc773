"""Memory as the kernel's files tell it: cgroup v1, v2 and both, and processes."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from runtime.engine.memory import (
    ProcessMemory,
    anonymous_bytes,
    child_processes,
    memory_cgroup,
    process_memory,
)

MIB = 2**20


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "cgroup"


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    return tmp_path / "proc"


def write_v2(directory: Path, limit: str) -> None:
    write(directory / "memory.max", f"{limit}\n")
    write(directory / "memory.current", "300000000\n")
    write(
        directory / "memory.stat",
        "anon 100000000\nfile 150000000\nkernel 20000000\nkernel_stack 1000000\nsock 4000000\n"
        "shmem 6000000\nfile_mapped 40000000\nslab_reclaimable 5000000\nslab 9000000\n",
    )
    write(directory / "memory.events", "low 0\nhigh 3\nmax 12\noom 2\noom_kill 1\n")


def write_v1(directory: Path, limit: str) -> None:
    write(directory / "memory.limit_in_bytes", f"{limit}\n")
    write(
        directory / "memory.stat",
        "cache 999\nrss 5\nshmem 1\ntotal_cache 88000000\ntotal_rss 70000000\n"
        "total_shmem 2000000\n",
    )
    write(directory / "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n")


def test_a_container_with_cgroup_v2(root: Path, proc: Path) -> None:
    write(proc / "self/cgroup", "0::/\n")
    write_v2(root, "536870912")
    cgroup = memory_cgroup(root, proc)
    assert cgroup is not None
    assert (cgroup.version, cgroup.limit_bytes) == (2, 512 * MIB)
    # page cache and slabs that the kernel can drop do not count; sockets and the kernel's own do
    assert cgroup.used_bytes == 100_000_000 + 6_000_000 + 20_000_000 + 4_000_000 - 5_000_000
    assert cgroup.oom_kills == 1


def test_the_smallest_limit_on_the_way_up_counts(root: Path, proc: Path) -> None:
    write(proc / "self/cgroup", "0::/system.slice/slipway.service\n")
    write_v2(root / "system.slice/slipway.service", "max")
    write_v2(root / "system.slice", "268435456")
    cgroup = memory_cgroup(root, proc)
    assert cgroup is not None
    assert cgroup.directories[0] == root / "system.slice/slipway.service"
    assert cgroup.limit_bytes == 256 * MIB


@pytest.mark.parametrize("path", ["/docker/0123abcd", "/../../kubepods/pod1"])
def test_a_path_of_the_host_is_the_mount_itself(root: Path, proc: Path, path: str) -> None:
    write(proc / "self/cgroup", f"5:cpu,cpuacct:/x\n4:memory:{path}\n")
    write_v1(root / "memory", "536870912")
    cgroup = memory_cgroup(root, proc)
    assert cgroup is not None
    assert (cgroup.version, cgroup.directories) == (1, (root / "memory",))
    assert (cgroup.limit_bytes, cgroup.used_bytes, cgroup.oom_kills) == (512 * MIB, 72_000_000, 4)


def test_a_directory_of_v1_and_those_above_it(root: Path, proc: Path) -> None:
    write(proc / "self/cgroup", "4:memory:/a/b\n0::/\n")
    write_v1(root / "memory/a/b", "9223372036854771712")
    write_v1(root / "memory/a", "104857600")
    write_v1(root / "memory", "9223372036854771712")
    cgroup = memory_cgroup(root, proc)
    assert cgroup is not None
    assert cgroup.directories[0] == root / "memory/a/b"
    assert cgroup.limit_bytes == 100 * MIB


def test_a_directory_that_this_user_may_not_enter_is_passed_over(
    root: Path, proc: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(proc / "self/cgroup", "4:memory:/a\n")
    write_v1(root / "memory/a", "104857600")
    write_v1(root / "memory", "209715200")
    # root may enter any directory, so the kernel's answer is that of another user
    closed = root / "memory/a/memory.limit_in_bytes"
    monkeypatch.setattr(os, "access", lambda path, _: path.exists() and path != closed)
    cgroup = memory_cgroup(root, proc)
    assert cgroup is not None
    assert cgroup.limit_bytes == 200 * MIB


def test_of_both_versions_the_one_with_a_limit_counts(root: Path, proc: Path) -> None:
    write_v1(root / "memory", "536870912")
    write_v2(root, "max")
    assert getattr(memory_cgroup(root, proc), "version", None) == 1
    write_v2(root, "268435456")
    assert getattr(memory_cgroup(root, proc), "version", None) == 2


def test_a_system_without_the_controller(root: Path, proc: Path) -> None:
    assert memory_cgroup(root, proc) is None
    write_v2(root, "max")
    (root / "memory.stat").unlink()
    (root / "memory.events").unlink()
    cgroup = memory_cgroup(root, proc)
    assert cgroup is not None
    assert (cgroup.limit_bytes, cgroup.used_bytes, cgroup.oom_kills) == (None, None, None)


def test_shared_pages_count_once_for_all_that_share_them(proc: Path) -> None:
    rollup = "0-1 ---p 0 00:00 0 [rollup]\nRss: 2000 kB\nPss: 900 kB\nPss_Anon: 500 kB\n"
    write(proc / "7/smaps_rollup", rollup)
    assert process_memory(7, proc) == ProcessMemory(2000 * 1024, 900 * 1024, 500 * 1024)
    assert process_memory(8, proc) is None


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has these files")
def test_an_array_is_seen_and_its_end_too() -> None:
    size_mib = 96  # over every threshold: glibc takes it from the system, and gives it back
    before = process_memory()
    array = np.ones(size_mib * MIB, np.uint8)
    during, cheap = process_memory(), anonymous_bytes()
    assert before is not None
    assert during is not None
    change_bytes = during.anonymous_bytes - before.anonymous_bytes
    assert (size_mib - 2) * MIB < change_bytes < (size_mib + 8) * MIB
    assert abs(cheap - during.anonymous_bytes) < 8 * MIB
    del array
    assert cheap - anonymous_bytes() > (size_mib - 4) * MIB


@pytest.mark.skipif(sys.platform != "linux", reason="Linux has these files")
def test_children_are_found() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        assert child.pid in child_processes()
        assert os.getpid() not in child_processes()
        assert anonymous_bytes([child.pid]) > 0
    assert child.pid not in child_processes()
    assert anonymous_bytes([child.pid]) == 0
