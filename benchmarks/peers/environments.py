"""The environments of the peers: `python -m benchmarks.peers.environments [DIR] [NAME ...]`.

Each peer has one of its own, made of the exact versions in `requirements/<name>.txt`.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.children import PROJECT
from benchmarks.errors import BenchmarkError
from benchmarks.peers.table import OWN, REQUIREMENTS

DEFAULT = PROJECT / ".venv-peers"
TIMEOUT_S = 1200  # of one environment
_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)
_SIZES = """
import json, pathlib, sys
from importlib.metadata import distributions
packages = {d.name.lower(): d for d in distributions()}
def size(d):
    paths = [pathlib.Path(str(f.locate())) for f in d.files or () if ".." not in f.parts]
    return sum(p.stat().st_size for p in paths if p.is_file())
tools = {"pip", "setuptools", "wheel"}
print(json.dumps({n: [d.version, size(d)] for n, d in packages.items() if n not in tools}))
"""


@dataclass(frozen=True, slots=True)
class Environment:
    """An installed environment."""

    python: Path
    versions: dict[str, str]  # of every package but pip
    installed_mb: float


def names() -> tuple[str, ...]:
    """Return the names of the environments."""
    return tuple(sorted(path.stem for path in REQUIREMENTS.glob("*.txt")))


def install(folder: Path, name: str) -> None:
    """Create an environment unless it is there; its log is kept beside it.

    Raises:
        BenchmarkError: pip refuses; quotes the end of the log.
    """
    target, stamp, log = folder / name, folder / name / ".installed", folder / f"{name}.log"
    requirements = REQUIREMENTS / f"{name}.txt"
    text = requirements.read_text(encoding="utf-8")
    if stamp.exists() and stamp.read_text(encoding="utf-8") == text:
        return
    folder.mkdir(parents=True, exist_ok=True)
    pip = [str(target / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check"]
    with log.open("w", encoding="utf-8") as output:
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(target)],
            [*pip, "-r", str(requirements)],
        ):
            code = subprocess.run(
                command, stdout=output, stderr=output, timeout=TIMEOUT_S, check=False
            ).returncode
            if code != 0:
                raise BenchmarkError(f"{name} is not installed: {last_error(log)}")
    stamp.write_text(text, encoding="utf-8")


def last_error(log: Path) -> str:
    """Return the last line of a log of pip that says ERROR, else its last line."""
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else []
    errors = [line for line in lines if "ERROR" in line]
    return (errors or lines or ["no log"])[-1][:300]


def read(folder: Path, name: str) -> Environment:
    """Return an environment.

    Raises:
        BenchmarkError: it is not installed, or broken; says why.
    """
    python = (folder / name / "bin" / "python").absolute()
    if not (folder / name / ".installed").exists():
        log = folder / f"{name}.log"
        reason = last_error(log) if log.exists() else "see benchmarks.peers.environments"
        raise BenchmarkError(f"{name} is not installed: {reason}")
    packages = _packages(python)
    versions = {name: version for name, (version, _) in packages.items()}
    return Environment(python, versions, sum(size for _, size in packages.values()) / 1e6)


def _packages(python: Path) -> dict[str, tuple[str, int]]:
    """Return the version and the bytes on disk of each package that an interpreter sees.

    Raises:
        BenchmarkError: the interpreter fails.
    """
    try:
        process = subprocess.run(
            [str(python), "-c", _SIZES], capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise BenchmarkError(f"{python.name} lists no packages: {type(error).__name__}") from error
    packages: dict[str, tuple[str, int]] = json.loads(process.stdout)
    return packages


def deployed(requirements: Path = PROJECT / "requirements" / "deploy.txt") -> Environment:
    """Return this environment as the image holds it: the deployed packages alone."""
    pins = dict(_PIN.findall(requirements.read_text(encoding="utf-8")))
    sizes = _packages(Path(sys.executable))
    present = {name: sizes[name.lower()] for name in pins if name.lower() in sizes}
    versions = {name: version for name, (version, _) in present.items()}
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))
    versions[OWN.lower()] = project["project"]["version"]
    installed_mb = sum(size for _, size in present.values()) / 1e6
    return Environment(Path(sys.executable), versions, installed_mb)


def main(arguments: Sequence[str]) -> int:
    """Install the environments; one that fails is told, and the others follow."""
    folder = Path(arguments[0]) if arguments else DEFAULT
    failed = False
    for name in arguments[1:] or names():
        print(f"{name} in {folder}", file=sys.stderr, flush=True)
        try:
            install(folder, name)
        except (BenchmarkError, OSError, subprocess.TimeoutExpired) as error:
            print(f"  {error}", file=sys.stderr)
            failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
