"""Versions, limits and CPUs of this machine."""

import os
import platform
import resource
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from runtime.engine.memory import memory_cgroup
from runtime.engine.providers import PROVIDERS
from runtime.engine.resources import cpu_count, cpu_features

_PACKAGES = (
    *("httptools", "numpy", "onnxruntime", "opencv-python-headless", "orjson"),
    *("prometheus-client", "python-multipart", "redis", "soundfile", "soxr", "starlette"),
    *("uvicorn", "av"),
)
_DECIDING = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimddp", "i8mm")


def versions_content() -> dict[str, Any]:
    """Return the versions of Python, the system and the packages; None for one that is absent."""
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "providers_known": sorted(PROVIDERS),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def limits_content() -> dict[str, Any]:
    """Return CPUs, memory and descriptors as the limits of this process have them."""
    memory = memory_cgroup()
    features = cpu_features()
    return {
        "cpus": cpu_count(),
        "cpus_of_host": os.cpu_count(),
        "cpu_features": [name for name in _DECIDING if name in features],
        "cgroup": None
        if memory is None
        else {
            "version": memory.version,
            "limit_bytes": memory.limit_bytes,
            "used_bytes": memory.used_bytes,
            "oom_kills": memory.oom_kills,
        },
        "memory_of_host_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "descriptors": resource.getrlimit(resource.RLIMIT_NOFILE),
    }
