"""What the figures were measured on: without it they say nothing."""

import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from runtime.engine.resources import CPUINFO, cpu_count, cpu_features

# Instructions that multiply 8-bit integers into 32-bit sums; INT8 gains little without them.
DOT_PRODUCTS = frozenset({"avx512_vnni", "avx_vnni", "asimddp"})


@dataclass(frozen=True, slots=True)
class Machine:
    """CPU, versions and what else changes a figure."""

    cpu: str
    cpus: int  # that this process may use
    dot_products: tuple[str, ...]  # flags of integer dot products; empty: none
    load_average: float  # of the last minute, before the measurement
    onnxruntime: str
    numpy: str
    opencv: str
    python: str
    allocator: Mapping[str, str]  # the MALLOC_* variables that are set

    @property
    def busy(self) -> bool:
        """Others were at work a moment ago: figures may be too high, those of more threads most."""
        return self.load_average > 0.25 * self.cpus


def describe_machine() -> Machine:
    """The machine, as it is now."""
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


def cpu_name(cpuinfo: Path = CPUINFO) -> str:
    """The CPU as the kernel calls it; the architecture where it says nothing."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.machine()
