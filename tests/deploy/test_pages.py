"""Each indented command of the pages is run by a test, or its page says that it is not.

Lines in boxes of `sh` are run by tests/test_readme.py and test_operations.py.
"""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.server_process import PROJECT

FOLDER = PROJECT / "deploy"
PAGES = sorted([*FOLDER.glob("*.md"), *FOLDER.glob("*/*.md")])
PROGRAMS = (
    *("docker", "make", "deploy/", ".venv", "python", "promtool", "kill", "heroku", "git", "serve"),
    *("install", "systemctl", "cp", "kubectl", "helm", "podman", "redis-server", "curl"),
)
# beginnings of lines, and the tests that run them, or what they call
RUN = {
    "docker run": "tests/deploy/image/test_podman.py",
    "make image": "tests/deploy/image/conftest.py",
    "make convert": "tests/test_readme.py",
    "deploy/image/debian-base.sh": "tests/deploy/image/conftest.py",
    ".venv/bin/pip download": "tests/deploy/image/conftest.py",
    "python -m serve --metrics-port": "tests/deploy/test_prometheus.py",
    "promtool test rules": "tests/deploy/test_pages.py",
    "install": "tests/deploy/test_pages.py",
    "kubectl kustomize": "tests/deploy/test_kubernetes.py",
    "python -m tests.serve.commands.simulation.comparison": (
        "tests/serve/commands/simulation/test_comparison.py"
    ),
    ".venv-ray/bin/python -m deploy.ray": "tests/deploy/ray/test_cluster.py",
}
# they need an account, a cluster, an engine with a network, or the system of this machine, or
# install what a test then finds
NOT_RUN = (
    *("docker push", "heroku", "git", "systemctl", "cp -r artifacts /var"),
    *("kubectl apply", "kubectl create", "kubectl get", "kubectl -n", "helm", "kill -HUP"),
    *("GRAFANA_PASSWORD=... docker compose", "serve run"),
    *("python3 -m venv .venv-ray", ".venv-ray/bin/pip install"),
)


def indented(page: Path) -> list[str]:
    """Return the indented lines of a page that begin with a program."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.M | re.S)
    lines = re.findall(r"^ {4,}(\S.*)$", text.replace("\\\n", " "), re.M)
    begins = re.compile(rf"([A-Z_]+=\S* )?({'|'.join(map(re.escape, PROGRAMS))})[\w/ .-]")
    return [line for line in lines if begins.match(line) and " = " not in line]


def is_run(line: str) -> bool:
    return any(line.startswith(begin) for begin in RUN)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(FOLDER).as_posix())
def test_each_command_is_run_or_marked(page: Path) -> None:
    lines = [line for line in indented(page) if not is_run(line)]
    assert [line for line in lines if not line.startswith(NOT_RUN)] == []
    marks = r"(?i)\bnot run\b|start no service|was applied"
    assert not lines or re.search(marks, page.read_text("utf-8")), f"{page} does not say so"


def test_the_tables_have_no_line_too_many() -> None:
    lines = [line for page in PAGES for line in indented(page)]
    assert len(lines) > 20
    for begin in (*RUN, *NOT_RUN):
        assert any(line.startswith(begin) for line in lines), begin
    assert [path for path in RUN.values() if not (PROJECT / path).is_file()] == []


def lines_of(page: str, begin: str) -> list[str]:
    return [line for line in indented(FOLDER / page) if line.startswith(begin)]


def test_promtool_runs_the_line_of_the_page() -> None:
    if shutil.which("promtool") is None:
        pytest.skip("promtool is not installed (Debian: apt-get install prometheus)")
    (line,) = lines_of("README.md", "promtool")
    done = subprocess.run(
        shlex.split(line), cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_files_of_systemd_are_installed_where_the_unit_looks(tmp_path: Path) -> None:
    lines = lines_of("platforms/SYSTEMD.md", "install")
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    for line in lines:
        words = [f"{tmp_path}{word}" if word[0] == "/" else word for word in shlex.split(line)]
        subprocess.run(words, cwd=PROJECT, check=True)
    unit = (tmp_path / "etc/systemd/system/slipway.service").read_text("utf-8")
    (environment,) = re.findall(r"^EnvironmentFile=-?(.+)$", unit, re.M)
    installed = tmp_path / environment[1:]
    assert installed.stat().st_mode & 0o777 == 0o600


def test_the_package_that_only_the_image_needs_is_the_pinned_one() -> None:
    (line,) = [one for one in lines_of("README.md", ".venv/bin/pip") if "--no-deps" in one]
    (pinned,) = re.findall(r"async-timeout==\S+", line)
    assert f"\n{pinned} ;" in (PROJECT / "requirements/deploy.txt").read_text("utf-8")
