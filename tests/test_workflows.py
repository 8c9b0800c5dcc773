"""The workflows of GitHub are what they say: make targets, pinned actions, few rights."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

PROJECT = Path(__file__).parents[1]
WORKFLOWS = sorted((PROJECT / ".github" / "workflows").glob("*.yml"))
TARGETS = set(re.findall(r"^([a-z-]+):", (PROJECT / "Makefile").read_text(), re.MULTILINE))
VARIABLES = set(re.findall(r"^([A-Z_]+) \?=", (PROJECT / "Makefile").read_text(), re.MULTILINE))
ACTION = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40}")
PINNED_WITH_TAG = re.compile(r"uses: \S+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
LINE = re.compile(r"make ([a-z-]+)((?: [A-Z_]+=[\w./-]+)*)")


def jobs(path: Path) -> dict[str, Any]:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    found: dict[str, Any] = content["jobs"]
    return found


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in jobs(path).values() for step in job["steps"]]


def test_every_part_of_the_release_is_checked() -> None:
    lines = {step["run"].split()[1] for path in WORKFLOWS for step in steps(path) if "run" in step}
    assert lines >= {"lint", "test", "image", "bench-gate", "audit", "release-check"}
    matrix = jobs(PROJECT / ".github/workflows/ci.yml")["test"]["strategy"]["matrix"]
    assert matrix["python"] == ["3.11", "3.12", "3.13"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_calls_make_targets_alone(path: Path) -> None:
    for step in steps(path):
        if "run" not in step:
            continue
        match = LINE.fullmatch(step["run"])
        assert match, step["run"]
        assert match[1] in TARGETS
        names = {word.partition("=")[0] for word in match[2].split()} | set(step.get("env", ()))
        assert names <= VARIABLES


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_a_workflow_is_pinned_bounded_and_may_only_read(path: Path) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert content["permissions"] == {"contents": "read"}
    assert content["concurrency"]["cancel-in-progress"] is True
    for job in jobs(path).values():
        assert job["timeout-minutes"] <= 90
        assert "permissions" not in job
    for step in steps(path):
        if "uses" in step:
            assert ACTION.fullmatch(step["uses"]), step["uses"]
            if "checkout" in step["uses"]:
                assert step["with"]["persist-credentials"] is False
    used = [line for line in path.read_text().splitlines() if "uses:" in line]
    assert all(PINNED_WITH_TAG.search(line) for line in used)
    # a title or a name of a branch must never be part of a shell line
    assert not re.search(r"run:.*\$\{\{", path.read_text())


def test_the_audit_is_scheduled() -> None:
    content = yaml.safe_load((PROJECT / ".github/workflows/audit.yml").read_text())
    assert content[True]["schedule"]  # YAML reads `on` as true
