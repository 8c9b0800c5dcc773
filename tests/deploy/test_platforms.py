"""The files for platforms: parsed, with variables that the server has and values that it takes.

No platform is reached: that a file does there what its page says is not tested.
"""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from serve.settings import Settings, from_environment
from serve.settings.profile import CONSTRAINED
from serve.settings.table import TABLE
from tests.support.server_process import PROJECT

FOLDER = PROJECT / "deploy" / "platforms"
PAGES = sorted([*FOLDER.glob("*.md"), PROJECT / "deploy" / "OPERATIONS.md"])
VARIABLES = frozenset(setting.variable for setting in TABLE.values())
# read by others than the settings
OTHERS = frozenset((CONSTRAINED, "ORT_DISABLE_TELEMETRY", "PYTHONDONTWRITEBYTECODE"))
END_S = Settings().stop_timeout_s + 3  # after SIGTERM; deploy/README.md
HEALTH = "/v2/health/ready"


def load_yaml(path: str) -> Any:
    return yaml.safe_load((FOLDER / path).read_text(encoding="utf-8"))


def compose() -> dict[str, Any]:
    content: dict[str, Any] = load_yaml("compose/compose.yaml")
    return content


def render_services() -> dict[str, dict[str, Any]]:
    return {service["name"]: service for service in load_yaml("render/render.yaml")["services"]}


def railway() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((FOLDER / "railway/railway.json").read_text("utf-8"))
    return content


def unit() -> dict[str, list[str]]:
    """Return the values of the unit by key; all keys have different names."""
    values: dict[str, list[str]] = {}
    for line in (FOLDER / "systemd/slipway.service").read_text("utf-8").splitlines():
        if line and not line.startswith(("#", "[")):
            key, _, value = line.partition("=")
            values.setdefault(key, []).append(value)
    return values


def systemd_variables() -> dict[str, str]:
    lines = (FOLDER / "systemd/slipway.env").read_text("utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def render_variables() -> dict[str, str]:
    rows = render_services()["slipway"]["envVars"]
    return {row["key"]: row.get("value", "") for row in rows}


def variables() -> Mapping[str, Mapping[str, str]]:
    return {
        "compose": compose()["services"]["slipway"]["environment"],
        "render": render_variables(),
        "heroku": load_yaml("heroku/heroku.yml")["setup"]["config"],
        "systemd": systemd_variables(),
    }


@pytest.mark.parametrize("platform", ["compose", "render", "heroku", "systemd"])
def test_the_server_has_the_variables_and_takes_their_values(platform: str) -> None:
    environ = variables()[platform]
    assert environ
    assert set(environ) - VARIABLES - OTHERS == set()
    literal = {name: text for name, text in environ.items() if not text.startswith("$")}
    assert all(isinstance(text, str) for text in literal.values())
    from_environment(literal)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_variables_that_the_server_has(page: Path) -> None:
    named = set(re.findall(r"\bSLIPWAY_[A-Z_]+\b", page.read_text(encoding="utf-8")))
    assert named - VARIABLES == set()


def test_every_platform_has_a_page_that_names_its_files() -> None:
    for folder in (path for path in FOLDER.iterdir() if path.is_dir()):
        page = (FOLDER / f"{folder.name.upper()}.md").read_text(encoding="utf-8")
        assert [path.name for path in folder.iterdir() if path.name not in page] == []


def test_the_server_has_time_to_end_everywhere() -> None:
    grace = compose()["services"]["slipway"]["stop_grace_period"]
    assert int(grace.removesuffix("s")) > END_S
    assert railway()["deploy"]["drainingSeconds"] > END_S  # a number: a text is refused there
    assert render_services()["slipway"]["maxShutdownDelaySeconds"] > END_S
    assert int(unit()["TimeoutStopSec"][0]) > END_S


def test_platforms_wait_until_the_server_is_ready() -> None:
    assert railway()["deploy"]["healthcheckPath"] == HEALTH
    assert render_services()["slipway"]["healthCheckPath"] == HEALTH


def test_the_parts_of_compose_fit_together() -> None:
    content = compose()
    for service in content["services"].values():
        assert set(service["networks"]) <= set(content["networks"])
        assert set(service.get("depends_on", ())) <= set(content["services"])
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (FOLDER / "compose" / source).is_file(), source
            else:
                assert source in content["volumes"]
    variables = content["services"]["slipway"]["environment"]
    assert variables["SLIPWAY_REDIS_URL"].startswith("redis://redis:")
    (scrape,) = load_yaml("compose/prometheus.yml")["scrape_configs"]
    (target,) = scrape["static_configs"][0]["targets"]
    assert target == f"slipway:{variables['SLIPWAY_METRICS_PORT']}"
    own = PROJECT / "deploy/prometheus/prometheus.yml"
    same = own.read_text("utf-8").replace("127.0.0.1:9100", target).split("\n", 1)[1]
    assert (FOLDER / "compose/prometheus.yml").read_text("utf-8").split("\n", 1)[1] == same


def test_redis_is_reached_from_the_inner_network_alone() -> None:
    content = compose()
    assert content["networks"]["back"] == {"internal": True}
    redis = content["services"]["redis"]
    assert redis["networks"] == ["back"]
    assert "ports" not in redis
    assert render_services()["slipway-cache"]["ipAllowList"] == []


def test_redis_starts_with_the_arguments_of_compose(tmp_path: Path) -> None:
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    command = compose()["services"]["redis"]["command"]
    process = subprocess.Popen(
        [*command, "--port", "0", "--unixsocket", str(tmp_path / "socket")],
        cwd=tmp_path, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        assert any("eady to accept connections" in line for line in process.stdout)
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_the_parts_of_render_fit_together() -> None:
    services = render_services()
    assert {service["type"] for service in services.values()} == {"web", "keyvalue"}
    linked = [row["fromService"] for row in services["slipway"]["envVars"] if "fromService" in row]
    for link in linked:
        assert services[link["name"]]["type"] == link["type"]


def test_heroku_starts_the_image_as_the_dockerfile_does() -> None:
    manifest = load_yaml("heroku/heroku.yml")
    assert (FOLDER / "heroku" / manifest["build"]["docker"]["web"]).is_file()
    command = re.findall(r"^CMD (.+)$", (PROJECT / "Dockerfile").read_text("utf-8"), re.MULTILINE)
    assert manifest["run"]["web"].split() == json.loads(command[-1])


def systemd_analyze() -> str:
    path = shutil.which("systemd-analyze")
    if path is None:
        pytest.skip("systemd-analyze is not installed (Debian: apt-get install systemd)")
    return path


def test_systemd_finds_no_fault_in_the_unit(tmp_path: Path) -> None:
    analyze = systemd_analyze()
    text = (FOLDER / "systemd/slipway.service").read_text("utf-8")
    text = text.replace("/opt/slipway/.venv/bin/python", sys.executable)
    (tmp_path / "slipway.service").write_text(text)
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(tmp_path / "slipway.service")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    about_unit = [line for line in done.stderr.splitlines() if "slipway" in line]
    assert (done.returncode, about_unit) == (0, [])


def test_systemd_rates_the_exposure_of_the_unit_as_low() -> None:
    done = subprocess.run(
        [
            *(systemd_analyze(), "security", "--offline=yes", "--no-pager"),
            *("--threshold=20", str(FOLDER / "systemd/slipway.service")),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if "Unknown option" in done.stderr or "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze cannot rate a file")
    assert done.returncode == 0, done.stdout + done.stderr
