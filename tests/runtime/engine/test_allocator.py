"""The allocator keeps a large block for the next run instead of returning it to the kernel."""

import subprocess
import sys

from runtime.engine.allocator import (
    FREE_HEAP_BYTES,
    MIB,
    MOST_FREE_HEAP_BYTES,
    TRIM_THRESHOLD,
    free_heap_bytes,
    keep_free_heap,
)

PROGRAM = """
import numpy as np
from runtime.engine.allocator import keep_free_heap, tune_allocator

def faults():
    with open("/proc/self/stat") as stat:
        return int(stat.read().rsplit(")", 1)[1].split()[7])

def run():
    return [np.ones(48 * 2**20, np.uint8) for _ in range({blocks})]

if {tuned}:
    assert tune_allocator({environ})
if {kept_bytes}:
    assert keep_free_heap({kept_bytes}, {{}})
for _ in range(3):
    run()
before = faults()
for _ in range(5):
    run()
print(faults() - before)
"""
PAGES = 48 * 2**20 // 4096


def page_faults(*, tuned: bool, environ: str = "{}", blocks: int = 1, kept_bytes: int = 0) -> int:
    program = PROGRAM.format(tuned=tuned, environ=environ, blocks=blocks, kept_bytes=kept_bytes)
    # huge pages would hide the difference
    process = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"GLIBC_TUNABLES": "glibc.malloc.hugetlb=0", "NUMPY_MADVISE_HUGEPAGE": "0"},
    )
    return int(process.stdout)


def test_large_blocks_stay_with_the_process() -> None:
    assert page_faults(tuned=True) < PAGES / 10
    assert page_faults(tuned=False) > PAGES


def test_a_run_larger_than_the_free_heap_needs_more_of_it() -> None:
    assert page_faults(tuned=True, blocks=3) > 3 * PAGES  # 144 MiB of 128 are all given back
    assert page_faults(tuned=True, blocks=3, kept_bytes=192 * MIB) < PAGES / 10


def test_a_large_run_stays_where_memory_is_plentiful() -> None:
    assert free_heap_bytes(0, 2**34) == FREE_HEAP_BYTES
    assert free_heap_bytes(200 * MIB, 2**34) == 250 * MIB
    assert free_heap_bytes(200 * MIB, 1000 * MIB) == 250 * MIB
    assert free_heap_bytes(200 * MIB, 999 * MIB) == FREE_HEAP_BYTES  # more than a quarter of it
    assert free_heap_bytes(2000 * MIB, 2**34) == MOST_FREE_HEAP_BYTES
    assert free_heap_bytes(300 * MIB, 469 * MIB) == FREE_HEAP_BYTES  # a container of 512 MiB
    assert free_heap_bytes(104 * MIB, None) >= FREE_HEAP_BYTES  # of the machine


def test_the_environment_decides_what_the_heap_keeps() -> None:
    assert not keep_free_heap(FREE_HEAP_BYTES, {TRIM_THRESHOLD: "1"})


def test_the_environment_has_priority() -> None:
    # the call leaves alone the thresholds that the environment sets
    environ = "{'MALLOC_MMAP_THRESHOLD_': '1', 'MALLOC_TRIM_THRESHOLD_': '1'}"
    assert page_faults(tuned=True, environ=environ) > PAGES


def test_the_memory_that_the_allocator_keeps_can_be_released() -> None:
    program = """
import numpy as np
from runtime.engine.allocator import release_free_memory, tune_allocator

def resident_mib():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) / 256

tune_allocator({})
np.ones(48 * 2**20, np.uint8)
kept = resident_mib()
assert release_free_memory()
print(round(kept - resident_mib()))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert int(done.stdout) > 40
