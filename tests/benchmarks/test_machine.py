import dataclasses
import platform
from pathlib import Path

from benchmarks.machine import cpu_name, describe_machine
from runtime.engine.resources import cpu_count


def test_the_cpu_name_comes_from_cpuinfo(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz: fast\nflags\t: fpu\n")
    assert cpu_name(cpuinfo) == "Some CPU @ 2 GHz: fast"


def test_the_cpu_name_falls_back_to_the_architecture(tmp_path: Path) -> None:
    assert cpu_name(tmp_path / "absent") == platform.machine()


def test_this_machine_is_described() -> None:
    machine = describe_machine()
    assert machine.cpus == cpu_count()
    assert machine.onnxruntime.count(".") == 2
    assert set(machine.dot_products) <= {"avx512_vnni", "avx_vnni", "asimddp"}


def test_a_load_above_a_quarter_of_the_cpus_is_busy() -> None:
    machine = describe_machine()
    assert not dataclasses.replace(machine, cpus=2, load_average=0.4).busy
    assert dataclasses.replace(machine, cpus=2, load_average=0.6).busy
