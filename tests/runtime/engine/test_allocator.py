"""The allocator keeps a large block for the next run instead of returning it to the kernel."""

import subprocess
import sys

PROGRAM = """
import numpy as np
from runtime.engine.allocator import tune_allocator

def faults():
    with open("/proc/self/stat") as stat:
        return int(stat.read().rsplit(")", 1)[1].split()[7])

if {tuned}:
    assert tune_allocator({environ})
for _ in range(3):
    np.ones(48 * 2**20, np.uint8)
before = faults()
for _ in range(5):
    np.ones(48 * 2**20, np.uint8)
print(faults() - before)
"""
PAGES = 48 * 2**20 // 4096


def page_faults(*, tuned: bool, environ: str = "{}") -> int:
    program = PROGRAM.format(tuned=tuned, environ=environ)
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
