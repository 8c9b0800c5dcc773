"""Every peer has an adapter of one short file, and an environment with exact versions."""

import ast
import re

import pytest

from benchmarks.peers.process import PORT
from benchmarks.peers.table import ADAPTERS, PYTHON, REQUIREMENTS, peers

LONGEST_ADAPTER = 60
PIN = re.compile(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!_-]+")
TABLE = peers(2)
ENVIRONMENTS = sorted(path.stem for path in REQUIREMENTS.glob("*.txt"))


def test_every_server_has_a_name_of_its_own_a_port_and_settings() -> None:
    assert len({(peer.name, peer.model) for peer in TABLE}) == len(TABLE)
    for peer in TABLE:
        assert PORT in peer.command
        assert peer.command[0] == PYTHON
        assert peer.path.startswith("/")
        assert peer.settings


def test_on_one_cpu_slipway_is_one_row_of_each_model() -> None:
    names = [peer.name for peer in peers(1) if peer.name.startswith("Slipway")]
    assert names == ["Slipway, 1 worker"] * 2


def test_bare_http_is_no_peer() -> None:
    assert [peer.name for peer in TABLE if peer.is_limit] == ["Bare HTTP, 2 threads"]


def test_every_environment_is_used_or_is_that_of_the_engines() -> None:
    assert {peer.environment for peer in TABLE} - {""} == set(ENVIRONMENTS) - {"openvino"}


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_an_environment_has_exact_versions_and_names_no_registry(name: str) -> None:
    text = (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    assert len(lines) > 10
    assert [line for line in lines if not PIN.fullmatch(line)] == []
    assert "://" not in text


def test_all_servers_of_one_model_run_the_same_onnxruntime() -> None:
    pins = {
        line
        for name in ENVIRONMENTS
        for line in (REQUIREMENTS / f"{name}.txt").read_text(encoding="utf-8").splitlines()
        if line.startswith("onnxruntime==")
    }
    deployed = (REQUIREMENTS.parents[2] / "requirements" / "deploy.txt").read_text(encoding="utf-8")
    assert len(pins) == 1
    assert pins.pop() in deployed


@pytest.mark.parametrize("path", sorted(ADAPTERS.glob("*.py")), ids=lambda path: path.stem)
def test_an_adapter_is_short_and_can_be_parsed(path: object) -> None:
    text = (ADAPTERS / str(path)).read_text(encoding="utf-8")
    ast.parse(text)
    assert len(text.splitlines()) <= LONGEST_ADAPTER


def test_the_module_of_every_command_is_an_adapter_that_is_there() -> None:
    modules = {
        word.rpartition(".")[2]
        for peer in TABLE
        for word in peer.command
        if word.startswith("benchmarks.peers.adapters.")
    }
    assert len(modules) == 6
    assert [name for name in modules if not (ADAPTERS / f"{name}.py").is_file()] == []
