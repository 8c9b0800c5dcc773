"""Versions, limits and CPUs of this machine, and the artifacts of a directory."""

import os
import platform
import resource
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from runtime.artifact.manifest import Manifest, read_manifest, verify_file, versions
from runtime.engine.memory import memory_cgroup
from runtime.engine.providers import PROVIDERS
from runtime.engine.resources import cpu_count, cpu_features
from runtime.errors import ArtifactError

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


def artifacts_content(artifacts: Path, *, verify: bool) -> dict[str, Any]:
    """Return what each version of each model says of itself.

    Args:
        artifacts: directory of the models.
        verify: whether to compute the hashes of all files; else only their sizes are compared.
    """
    if not artifacts.is_dir():
        return {"directory": str(artifacts), "problem": "it is no directory"}
    models = sorted(path for path in artifacts.iterdir() if versions(path))
    return {
        "directory": str(artifacts),
        "models": {
            path.name: {one.name: _version_content(one, verify) for one in versions(path)}
            for path in models
        },
    }


def _version_content(directory: Path, verify: bool) -> dict[str, Any]:
    try:
        manifest = read_manifest(directory)
    except ArtifactError as error:
        return {"problem": str(error)}
    return {
        "digest": manifest.digest,
        "weights": manifest.weights.origin,
        "variants": [variant.name for variant in manifest.variants],
        "onnxruntime_minimum": manifest.onnxruntime_minimum,
        "files": {file.name: [file.size_bytes, file.sha256] for file in manifest.files},
        "problems": _problems(manifest, directory, verify),
    }


def _problems(manifest: Manifest, directory: Path, verify: bool) -> list[str]:
    problems = []
    for file in manifest.files:
        path = directory / file.name
        try:
            if verify:
                verify_file(directory, file)
            elif path.stat().st_size != file.size_bytes:
                problems.append(f"{path} has {path.stat().st_size} bytes, not {file.size_bytes}")
        except (ArtifactError, OSError) as error:
            problems.append(str(error))
    return problems
