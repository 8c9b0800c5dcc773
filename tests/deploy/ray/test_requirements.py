"""The environment of Ray has the packages of the server, each with one version."""

import re
import tomllib

from tests.support.server_process import PROJECT


def test_the_pins_are_those_of_the_server_and_exact() -> None:
    text = (PROJECT / "deploy/ray/requirements.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[\w.\-]+==[\w.]+", line)] == []
    pins = {name.lower().replace("_", "-"): version for name, version in _pairs(lines)}
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    ours = dict(_pairs(project["dependencies"]))
    assert {name: pins.get(name) for name in ours} == ours
    assert "ray" in pins


def _pairs(lines: list[str]) -> list[tuple[str, str]]:
    return [(name, version) for name, _, version in (line.partition("==") for line in lines)]
