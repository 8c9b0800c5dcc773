"""Check what a release must have: `make release-check`. Exit code 1 if a check fails.

It reads the tracked files of a checkout, starts git, and imports nothing of the project.
"""

import re
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LARGEST_BYTES = 500_000  # of a tracked file, as in .pre-commit-config.yaml
LARGE = {"convert/models/gait_student.pt": "the project's own weights, trained on drawn walkers"}
# files that others wrote, and the licence that travels with each
VENDORED: Mapping[str, str] = {
    "serve/openapi/viewer/redoc.standalone.js.gz": "serve/openapi/viewer/LICENSE.txt",
}
VENDORED_SUFFIXES = (".gz", ".min.js", ".so", ".whl", ".wasm", ".ttf", ".woff", ".woff2", ".jar")
HASHED = ("deploy", "av", "sign", "weights", "samples")  # requirements with hashes
PIN = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^\]]+\])?==([^\s;\\]+)", re.MULTILINE)
HASH = re.compile(r"--hash=sha256:[0-9a-f]{64}\b")
HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
RELEASE = re.compile(r"(\d+\.\d+\.\d+(?:-(?:rc|beta|alpha)\.\d+)?) \((\d{4}-\d{2}-\d{2})\)")
VERSION_FILES: Mapping[str, str] = {  # file: the version in it, once at least and nowhere another
    "serve/__init__.py": r'__version__ = "([^"]+)"',
    "serve/client.py": r'VERSION = "([^"]+)"',
    "serve/API.md": r'"(?:status": "ok|name": "slipway)", "version": "([^"]+)"',
}
PRIVATE: Mapping[str, str] = {  # pattern: what it is
    r"(?<![\w.])/(?:home|Users)/(?!runner\b|app\b|user\b|someone\b)[a-z][\w.-]*/": "a home folder",
    r"(?<![\w.$}/])/(?:work|workspace|tmp/[a-z])/": "a folder of a machine",
    r"^\s*--(?:extra-)?index-url|^\s*--find-links": "an index of packages",
    r"https?://[\w.-]*(?:artifactory|nexus|jfrog|devpi|pypi-proxy)[\w.-]*": "a host of packages",
}
NOT_TEXT = (".onnx", ".npz", ".gz", ".pt", ".jpg", ".png", ".mp3", ".webm", ".mp4", ".svg")
IMAGE_FACTS: Mapping[str, str] = {  # pattern in the Dockerfile: the fact
    r"^USER \d{4,}:\d+$": "the user is not root",
    r"^HEALTHCHECK ": "it has a health check",
    r"^FROM scratch AS server$": "the last stage begins empty",
    r"--require-hashes": "packages are checked by their hashes",
    r"org\.opencontainers\.image\.licenses": "it is labelled with its licence",
}


def tracked(root: Path) -> list[str]:
    """Return the paths of the tracked files."""
    listed = git(root, "ls-files", "-z")
    return [name for name in listed.split("\0") if name and (root / name).is_file()]


def git(root: Path, *arguments: str) -> str:
    """Return the output of git."""
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True
    )
    return done.stdout


def clean_tree(root: Path) -> Iterator[str]:
    """Yield each file that differs from the commit, or is new."""
    yield from git(root, "status", "--porcelain").splitlines()


def versions(root: Path) -> Iterator[str]:
    """Yield each place whose version is not that of pyproject.toml; CHANGELOG.md's top too."""
    version = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    for name, pattern in VERSION_FILES.items():
        numbers = re.findall(pattern, (root / name).read_text(encoding="utf-8"))
        if set(numbers) != {version}:
            yield f"{name} has {', '.join(sorted(set(numbers))) or 'none'}; allowed: {version}"
    top = HEADING.search((root / "CHANGELOG.md").read_text(encoding="utf-8"))
    release = RELEASE.fullmatch(top[1]) if top else None
    if release is None:
        yield f"CHANGELOG.md begins with {top[1] if top else 'no release'!r}; allowed: 1.2.3 (date)"
    elif python_version(release[1]) != version:
        yield f"CHANGELOG.md begins with {release[1]}; pyproject.toml has {version}"


def python_version(text: str) -> str:
    """Return a semantic version as Python writes it: 1.0.0-rc.1 is 1.0.0rc1."""
    letters = {"-rc.": "rc", "-beta.": "b", "-alpha.": "a"}
    for word, letter in letters.items():
        text = text.replace(word, letter)
    return text


def licences(root: Path) -> Iterator[str]:
    """Yield each file of others without a licence beside it, and each that no line names."""
    for name in tracked(root):
        if name.endswith(VENDORED_SUFFIXES) and name not in VENDORED:
            yield f"{name} is in no line of VENDORED"
    for name, licence in VENDORED.items():
        for path in (name, licence):
            if not (root / path).is_file():
                yield f"{path} is missing"
    if not (root / "LICENSE").is_file():
        yield "LICENSE is missing"


def hashes(root: Path) -> Iterator[str]:
    """Yield each pinned package without a hash, and each dependency that is not pinned."""
    for name in HASHED:
        path = root / "requirements" / f"{name}.txt"
        for block in re.split(r"^(?=[A-Za-z0-9])", path.read_text(encoding="utf-8"), flags=re.M):
            pin = PIN.match(block)
            if pin and not HASH.search(block):
                yield f"requirements/{name}.txt: {pin[1]}=={pin[2]} has no hash"
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    deployed = dict(PIN.findall((root / "requirements" / "deploy.txt").read_text()))
    for name, version in PIN.findall("\n".join(project["dependencies"])):
        if deployed.get(name) != version:
            yield f"pyproject.toml has {name}=={version}; deploy.txt: {deployed.get(name)}"


def large_files(root: Path) -> Iterator[str]:
    """Yield each large file that no line explains."""
    for name in tracked(root):
        size = (root / name).stat().st_size
        if size > LARGEST_BYTES and name not in LARGE:
            yield f"{name} has {size:,} bytes; allowed: {LARGEST_BYTES:,}, or a line in LARGE"


def private_places(root: Path) -> Iterator[str]:
    """Yield each line that names a folder of one machine, or a host or index of packages."""
    patterns = {re.compile(pattern): kind for pattern, kind in PRIVATE.items()}
    here = Path(__file__).resolve()
    for name in tracked(root):
        if name.endswith(NOT_TEXT) or (root / name).resolve() == here or "release_check" in name:
            continue
        lines = (root / name).read_text(encoding="utf-8", errors="replace").splitlines()
        for number, line in enumerate(lines, 1):
            yield from (
                f"{name}:{number} names {kind}: {match[0].strip()}"
                for pattern, kind in patterns.items()
                if (match := pattern.search(line))
            )


def image_facts(root: Path) -> Iterator[str]:
    """Yield each fact that the Dockerfile does not show, and each source that is missing."""
    text = (root / "Dockerfile").read_text(encoding="utf-8")
    for pattern, fact in IMAGE_FACTS.items():
        if not re.search(pattern, text, re.MULTILINE):
            yield f"Dockerfile does not show that {fact}"
    for match in re.finditer(r"^(?:ARG BASE=|FROM )(\S+:latest)\b", text, re.MULTILINE):
        yield f"Dockerfile builds from {match[1]}; allowed: a version"
    names = tracked(root)
    for source in re.findall(r"^COPY (?!--)(\S+)/ ", text, re.MULTILINE):
        if source != "artifacts" and not any(name.startswith(f"{source}/") for name in names):
            yield f"Dockerfile copies {source}/, where no file is tracked"


CHECKS: Mapping[str, Callable[[Path], Iterator[str]]] = {
    "clean tree": clean_tree,
    "one version, the changelog's": versions,
    "licences of what others wrote": licences,
    "a hash of every deployed package": hashes,
    "no stray large file": large_files,
    "no machine, no host of packages": private_places,
    "facts of the image": image_facts,
}


def main(root: Path = ROOT) -> int:
    """Run the checks and print a line for each; return 1 if one fails."""
    failed = 0
    for name, check in CHECKS.items():
        problems = list(check(root))
        failed += bool(problems)
        print(f"{'FAILED' if problems else 'ok':6}  {name}")
        for problem in problems:
            print(f"        {problem}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
