"""The conditions of a measurement."""

import dataclasses
import platform

from benchmarks.schema import conditions
from benchmarks.schema.conditions import Start, begin


def test_the_machine_and_the_versions_are_noted() -> None:
    found = begin().end(quick=True, packages=("numpy", "no-such-package"))
    assert found.quick
    assert found.machine.cpus >= 1
    assert set(found.machine.dot_products) <= set(found.machine.cpu_flags)
    assert found.machine.memory_mb > 100
    assert found.versions.keys() == {"python", "numpy"}
    assert platform.release() not in str(dataclasses.astuple(found))  # may name a host's build
    assert found.measured_at.endswith("+00:00")
    assert found.git is None or len(found.git.commit) == 40


def test_what_other_processes_took_makes_a_machine_busy() -> None:
    now, own_s = conditions._machine_seconds(), conditions._own_seconds()
    assert now is not None
    of_others = Start(0.0, 0.0, (now[0] - 500, now[1] - 1000), own_s).end()
    assert of_others.others_cpu is not None
    assert 0.45 < of_others.others_cpu < 0.55
    assert of_others.busy
    own = Start(0.0, 9.0, (now[0] - 500, now[1] - 1000), own_s - 480).end()
    assert not own.busy  # whatever the load average: this process made it


def test_the_load_decides_where_the_cpu_time_is_unknown() -> None:
    assert Start(0.0, 900.0, None, 0.0).end().busy
    assert not Start(0.0, 0.0, None, 0.0).end().busy
