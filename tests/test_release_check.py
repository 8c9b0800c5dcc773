"""`make release-check` finds what a release must not have."""

import runpy
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[1]
SCRIPT = runpy.run_path(str(PROJECT / ".ci" / "release_check.py"))
CHECKS: dict[str, Callable[[Path], Any]] = SCRIPT["CHECKS"]
COPIED = (
    *("pyproject.toml", "CHANGELOG.md", "Dockerfile", "LICENSE", "Makefile", "requirements"),
    *("serve", "deploy/image", "deploy/check.py", "runtime/errors.py", "convert/errors.py"),
)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a checkout with what the checks read; nobody writes into it."""
    root = tmp_path_factory.mktemp("sound")
    for name in COPIED:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        copy: Callable[..., Any] = shutil.copytree if (PROJECT / name).is_dir() else shutil.copy2
        copy(PROJECT / name, root / name)
    (root / ".gitignore").write_text("__pycache__/\n")
    git(root, "init", "-q")
    commit(root)
    return root


@pytest.fixture
def checkout(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "checkout"))


def git(root: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(root), *arguments], check=True, capture_output=True)


def commit(root: Path) -> None:
    git(root, "add", "-A")
    git(root, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "all")


def failures(root: Path) -> dict[str, list[str]]:
    problems = {name: list(check(root)) for name, check in CHECKS.items()}
    return {name: lines for name, lines in problems.items() if lines}


def replace(root: Path, name: str, before: str, after: str) -> None:
    text = (root / name).read_text(encoding="utf-8")
    assert before in text
    (root / name).write_text(text.replace(before, after, 1), encoding="utf-8")


def test_a_sound_checkout_has_no_problem(sound: Path) -> None:
    assert failures(sound) == {}


def test_this_checkout_names_no_machine_and_holds_no_stray_file() -> None:
    for name in set(CHECKS) - {"clean tree"}:
        assert list(CHECKS[name](PROJECT)) == [], name


@pytest.mark.parametrize(
    ("name", "before", "after", "check", "problem"),
    [
        (
            "pyproject.toml",
            'version = "1',
            'version = "2',
            "one version",
            "serve/__init__.py has 1",
        ),
        ("serve/client.py", 'VERSION = "1', 'VERSION = "7', "one version", "serve/client.py has 7"),
        ("CHANGELOG.md", "\n## 1", "\n## Unreleased\n\n## 1", "one version", "begins with 'Unrel"),
        ("CHANGELOG.md", "\n## 1", "\n## 3", "one version", "CHANGELOG.md begins with 3"),
        ("requirements/weights.txt", "sha256:", "md5:", "a hash", "has no hash"),
        ("pyproject.toml", '"orjson==', '"orjson==9', "a hash", "deploy.txt: 3"),
        ("serve/errors.py", '"""', '"""See /home/joe/notes. ', "no machine", "errors.py:1 names"),
        ("requirements/av.txt", "av", "--index-url http://x\nav", "no machine", "av.txt:"),
        ("Dockerfile", "USER 10001", "USER root", "facts of the image", "the user is not root"),
        ("Dockerfile", "COPY serve/ ", "COPY served/ ", "facts of the image", "copies served/"),
        ("Dockerfile", "HEALTHCHECK ", "# ", "facts of the image", "it has a health check"),
    ],
)
def test_a_fault_is_found_by_its_check(
    checkout: Path, name: str, before: str, after: str, check: str, problem: str
) -> None:
    replace(checkout, name, before, after)
    commit(checkout)
    ((failed, lines),) = failures(checkout).items()
    assert failed.startswith(check)
    assert any(problem in line for line in lines), lines


def test_files_that_do_not_belong_are_found(checkout: Path) -> None:
    (checkout / "serve" / "big.txt").write_bytes(b"a" * 500_001)
    (checkout / "serve" / "viewer.min.js").write_text("//")
    (checkout / "serve" / "openapi" / "viewer" / "LICENSE.txt").unlink()
    commit(checkout)
    (checkout / "left.txt").write_text("new")
    found = failures(checkout)
    assert {name.split()[0] for name in found} == {"clean", "licences", "no"}
    assert found["clean tree"] == ["?? left.txt"]
    assert len(found["licences of what others wrote"]) == 2
    assert "serve/big.txt has 500,001 bytes" in found["no stray large file"][0]


def test_the_exit_code_is_that_of_the_checks(
    checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main: Callable[[Path], int] = SCRIPT["main"]
    assert main(checkout) == 0
    (checkout / "left.txt").write_text("new")
    assert main(checkout) == 1
    assert capsys.readouterr().out.splitlines()[-len(CHECKS) - 1] == "FAILED  clean tree"
