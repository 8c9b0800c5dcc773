"""Describe the machine: figures mean nothing without it."""

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from runtime.engine.resources import CPUINFO, cpu_count, cpu_features

# instructions that multiply 8-bit integers into 32-bit sums; without them INT8 gains little
DOT_PRODUCTS = frozenset({"avx512_vnni", "avx_vnni", "asimddp"})


@dataclass(frozen=True, slots=True)
class Machine:
    """The CPU, the versions and the settings that figures depend on."""

    cpu: str
    cpus: int  # number that this process may use
    dot_products: tuple[str, ...]  # flags of integer dot products; empty: none
    load_average: float  # of the minute before the measurement
    onnxruntime: str
    numpy: str
    opencv: str
    python: str
    allocator: Mapping[str, str]  # the MALLOC_* variables that are set

    @property
    def busy(self) -> bool:
        """Return True if other processes were busy: figures may be too high."""
        return self.load_average > 0.25 * self.cpus


def describe_machine() -> Machine:
    """Return the machine and its present load."""
    return Machine(
        cpu=cpu_name(),
        cpus=cpu_count(),
        dot_products=tuple(sorted(DOT_PRODUCTS & cpu_features())),
        load_average=os.getloadavg()[0],
        onnxruntime=version("onnxruntime"),
        numpy=version("numpy"),
        opencv=version("opencv-python-headless"),
        python=platform.python_version(),
        allocator={k: v for k, v in sorted(os.environ.items()) if k.startswith("MALLOC_")},
    )


def machine_lines(machine: Machine) -> list[str]:
    """Return the lines that describe the machine."""
    dot_products = ", ".join(machine.dot_products) or "none"
    allocator = ", ".join(f"{k}={v}" for k, v in machine.allocator.items())
    busy = ": BUSY, figures may be too high" if machine.busy else ""
    return [
        f"{machine.cpu}, {machine.cpus} CPUs, 8-bit dot products: {dot_products}",
        f"onnxruntime {machine.onnxruntime}, numpy {machine.numpy}, OpenCV {machine.opencv}, "
        f"Python {machine.python}" + (f", {allocator}" if allocator else ""),
        f"load average before the measurement: {machine.load_average:.2f}{busy}",
    ]


def cpu_name(cpuinfo: Path = CPUINFO) -> str:
    """Return the CPU's name in /proc/cpuinfo; the architecture if it has none."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.machine()
