"""The files for Kubernetes: valid, fitting together, with variables and metrics of the server.

No cluster is reached. `kubernetes-validate` has the schemas of Kubernetes; those of the custom
resources are minimal and our own, in `schemas/`. Where kubectl is installed it builds each overlay.
"""

import json
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from runtime.transport.credentials import PASSWORD, USER
from serve.settings import from_environment
from serve.settings.table import TABLE
from tests.support.server_process import PROJECT

FOLDER = PROJECT / "deploy" / "kubernetes"
PAGE = FOLDER / "README.md"
SCHEMAS = Path(__file__).parent / "schemas"
VERSIONS = ("1.31", "1.37")  # the oldest with all fields outside of a gate, and the newest known
BUILT = ("base", "overlays/example", "kserve")
VALUES = "components/autoscaling/adapter.yaml"  # of a Helm chart, not of kustomize
VARIABLES = frozenset(setting.variable for setting in TABLE.values())
OTHERS = frozenset((USER, PASSWORD, "DOCKER_CONFIG"))  # of a registry
SLACK_S = 3  # after SLIPWAY_STOP_TIMEOUT; deploy/README.md
LABELS = {"app.kubernetes.io/name": "slipway"}
Object = dict[str, Any]


def load_yaml(path: str) -> Any:
    return yaml.safe_load((FOLDER / path).read_text(encoding="utf-8"))


def kustomizations() -> list[Path]:
    return sorted(FOLDER.rglob("kustomization.yaml"))


def patches_of(kustomization: Object) -> list[str]:
    return [patch["path"] for patch in kustomization.get("patches", ()) if "path" in patch]


def resources() -> dict[str, Object]:
    """Return the whole objects by file: those that a kustomization lists as resources."""
    found = {}
    for path in kustomizations():
        for name in yaml.safe_load(path.read_text("utf-8")).get("resources", ()):
            if name.endswith(".yaml"):
                file = (path.parent / name).relative_to(FOLDER).as_posix()
                found[file] = load_yaml(file)
    return found


def settings(*folders: str) -> dict[str, str]:
    """Return the variables of the settings.env of some folders."""
    pairs: dict[str, str] = {}
    for folder in folders:
        for line in (FOLDER / folder / "settings.env").read_text("utf-8").splitlines():
            if line and not line.startswith("#"):
                name, _, value = line.partition("=")
                pairs[name] = value
    return pairs


def check(content: Object, version: str) -> None:
    """Validate an object: strictly by the schemas of Kubernetes, or by our minimal one."""
    own = SCHEMAS / f"{content['kind']}.json"
    if own.exists():
        schema = json.loads(own.read_text("utf-8"))
        jsonschema.validate(content, schema, jsonschema.Draft202012Validator)
    else:
        kubernetes_validate.validate(content, version, strict=True)


def as_pod(spec: Object) -> Object:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "slipway"}, "spec": spec}


def kserve_pod() -> Object:
    """Return the fields of a pod that KServe takes from its two objects."""
    predictor = dict(load_yaml("kserve/service.yaml")["spec"]["predictor"])
    for name in ("minReplicas", "maxReplicas", "scaleMetric", "scaleTarget", "model"):
        predictor.pop(name)
    return predictor | {"containers": load_yaml("kserve/runtime.yaml")["spec"]["containers"]}


def pods() -> Mapping[str, Object]:
    base: Object = load_yaml("base/deployment.yaml")["spec"]["template"]["spec"]
    return {"base": base, "kserve": kserve_pod()}


def pod_variables(name: str) -> dict[str, str]:
    if name == "base":
        return settings("base")
    (container,) = kserve_pod()["containers"]
    return {row["name"]: row["value"] for row in container["env"]}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("file", sorted(resources()))
def test_every_object_is_valid(file: str, version: str) -> None:
    check(resources()[file], version)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_pod_of_kserve_is_valid(version: str) -> None:
    check(as_pod(kserve_pod()), version)


@pytest.mark.parametrize("path", sorted(SCHEMAS.iterdir()), ids=lambda path: path.stem)
def test_own_schemas_say_that_they_are_minimal_and_refuse_what_they_do_not_know(path: Path) -> None:
    schema = json.loads(path.read_text("utf-8"))
    assert schema["description"].startswith("Minimal: ")
    content = next(one for one in resources().values() if one["kind"] == path.stem)
    with pytest.raises(jsonschema.ValidationError, match="replica"):
        jsonschema.validate(content | {"spec": {**content["spec"], "replica": 2}}, schema)


def test_an_unknown_field_and_a_wrong_type_are_refused() -> None:
    content = load_yaml("base/service.yaml")
    wrongs: tuple[Object, ...] = ({"spec": {"port": []}}, {"spec": {"ports": "80"}})
    for wrong in wrongs:
        with pytest.raises(kubernetes_validate.ValidationError):
            check(content | wrong, VERSIONS[-1])


def references_of(content: Object) -> list[str]:
    """Return the names of files and folders in a kustomization."""
    generators = content.get("configMapGenerator", ())
    return [
        *(*content.get("resources", ()), *content.get("components", ()), *patches_of(content)),
        *(name for generator in generators for name in generator.get("envs", ())),
    ]


def test_every_reference_leads_to_a_file_and_every_file_is_used() -> None:
    used = {FOLDER / VALUES, *(FOLDER / name / "kustomization.yaml" for name in BUILT)}
    for path in kustomizations():
        for name in references_of(yaml.safe_load(path.read_text("utf-8"))):
            target = (path.parent / name).resolve()
            target = target / "kustomization.yaml" if target.is_dir() else target
            assert target.is_file(), f"{path}: {name}"
            used.add(target)
    files = {path for path in FOLDER.rglob("*") if path.is_file() and path != PAGE}
    assert sorted(files - used) == []


def test_kustomizations_are_of_their_kind() -> None:
    for path in kustomizations():
        content = yaml.safe_load(path.read_text("utf-8"))
        is_component = "components" in path.relative_to(FOLDER).parts
        assert content["kind"] == ("Component" if is_component else "Kustomization")
        assert content["apiVersion"].endswith("/v1alpha1" if is_component else "/v1beta1")
        for generator in content.get("configMapGenerator", ()):
            assert generator["name"] == "slipway-settings"
            is_first = path.parent == FOLDER / "base"
            assert generator.get("behavior", "create") == ("create" if is_first else "merge")


def test_patches_change_the_container_and_the_object_that_there_are() -> None:
    (container,) = pods()["base"]["containers"]
    for path in kustomizations():
        for name in patches_of(yaml.safe_load(path.read_text("utf-8"))):
            patch = yaml.safe_load((path.parent / name).read_text("utf-8"))
            assert (patch["kind"], patch["metadata"]["name"]) == ("Deployment", "slipway")
            spec = patch["spec"]["template"]["spec"]
            assert [one["name"] for one in spec["containers"]] == [container["name"]]
            volumes = {volume["name"] for volume in spec["volumes"]}
            assert {m["name"] for m in spec["containers"][0]["volumeMounts"]} == volumes


def builder() -> tuple[str, ...]:
    for command in (("kustomize", "build"), ("kubectl", "kustomize")):
        if shutil.which(command[0]):
            return command
    pytest.skip("neither kustomize nor kubectl is installed")


@pytest.mark.parametrize("name", BUILT)
def test_kustomize_builds_valid_objects(name: str) -> None:
    done = subprocess.run(
        [*builder(), str(FOLDER / name)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    objects = list(yaml.safe_load_all(done.stdout))
    for content in objects:
        check(content, VERSIONS[-1])
    if name != "overlays/example":
        return
    by_kind = {content["kind"]: content for content in objects}
    data = by_kind["ConfigMap"]["data"]
    (literal,) = load_yaml(f"{name}/kustomization.yaml")["configMapGenerator"][0]["literals"]
    parts = ("base", "components/registry", "components/redis", "components/keys")
    assert data == settings(*parts) | dict([literal.split("=", 1)])
    from_environment(data)
    deployment = by_kind["Deployment"]["spec"]
    assert "replicas" not in deployment  # the autoscaler's
    (container,) = deployment["template"]["spec"]["containers"]
    assert container["image"] == "registry.example/slipway:1.0"
    assert (
        container["envFrom"][0]["configMapRef"]["name"] == by_kind["ConfigMap"]["metadata"]["name"]
    )
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {str(Path(data["SLIPWAY_API_KEYS_FILE"]).parent), data["SLIPWAY_PULL_CACHE"]} <= mounts
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert deployment["progressDeadlineSeconds"] > int(data["SLIPWAY_PULL_TIMEOUT"])


@pytest.mark.parametrize(
    "environ",
    [
        *(settings(path.parent.relative_to(FOLDER).as_posix()) for path in FOLDER.rglob("*.env")),
        pod_variables("kserve"),
    ],
)
def test_the_server_has_the_variables_and_takes_their_values(environ: dict[str, str]) -> None:
    assert environ
    assert set(environ) - VARIABLES == set()
    from_environment(environ)


def test_texts_name_variables_that_the_server_has() -> None:
    named = {
        name
        for path in FOLDER.rglob("*.*")
        for name in re.findall(r"\b(?:SLIPWAY_[A-Z_]+|DOCKER_CONFIG)\b", path.read_text("utf-8"))
    }
    assert len(named) > 10
    assert named - VARIABLES - OTHERS == {"SLIPWAY_PORT"}  # as not to be


@pytest.mark.parametrize("name", ["base", "kserve"])
def test_the_server_has_time_to_end(name: str) -> None:
    parsed = from_environment(pod_variables(name))
    assert pods()[name]["terminationGracePeriodSeconds"] > parsed.stop_timeout_s + SLACK_S
    # what was accepted in the last second of the grace has the whole time limit of a request
    assert parsed.stop_timeout_s - parsed.grace_s >= 25
    assert all("lifecycle" not in one for one in pods()[name]["containers"])  # there is no shell


@pytest.mark.parametrize("name", ["base", "kserve"])
def test_pods_keep_the_restricted_standard_and_more(name: str) -> None:
    pod = pods()[name]
    (container,) = pod["containers"]
    users = re.findall(r"^USER (\d+):(\d+)$", (PROJECT / "Dockerfile").read_text("utf-8"), re.M)
    context = pod["securityContext"]
    assert [(str(context["runAsUser"]), str(context["runAsGroup"]))] == users
    assert context["runAsNonRoot"] is True
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert (pod["automountServiceAccountToken"], pod["enableServiceLinks"]) == (False, False)
    limits = container["resources"]
    assert limits["requests"] == limits["limits"]


@pytest.mark.parametrize("name", ["base", "kserve"])
def test_probes_ask_the_server_where_it_listens(name: str) -> None:
    (container,) = pods()[name]["containers"]
    ports = {port.get("name", ""): port["containerPort"] for port in container["ports"]}
    dockerfile = (PROJECT / "Dockerfile").read_text("utf-8")
    (default,) = re.findall(r"^ +PORT=(\d+)$", dockerfile, re.M)
    port = int(pod_variables(name).get("PORT", default))
    live, ready = "/v2/health/live", "/v2/health/ready"
    paths = {"startupProbe": live, "livenessProbe": live, "readinessProbe": ready}
    for probe, path in paths.items():
        request = container[probe]["httpGet"]
        assert (ports.get(request["port"], request["port"]), request["path"]) == (port, path)


def test_selectors_and_ports_fit_together() -> None:
    objects = resources()
    deployment = objects["base/deployment.yaml"]["spec"]
    assert deployment["selector"]["matchLabels"] == LABELS
    assert deployment["template"]["metadata"]["labels"] == LABELS
    (pairs,) = load_yaml("base/kustomization.yaml")["labels"]
    assert pairs == {"pairs": LABELS}  # also of the Service, which the ServiceMonitor selects
    service = objects["base/service.yaml"]["spec"]
    assert service["selector"] == LABELS
    (container,) = deployment["template"]["spec"]["containers"]
    names = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert {port["targetPort"] for port in service["ports"]} == set(names)
    assert names["metrics"] == int(settings("base")["SLIPWAY_METRICS_PORT"])
    assert objects["base/disruption.yaml"]["spec"]["selector"]["matchLabels"] == LABELS
    monitor = objects["components/monitoring/monitor.yaml"]["spec"]
    assert monitor["selector"]["matchLabels"] == LABELS
    (endpoint,) = monitor["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["ports"]}
    target = objects["components/autoscaling/autoscaler.yaml"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", "slipway")
    for policy in (one["spec"] for one in objects.values() if one["kind"] == "NetworkPolicy"):
        assert policy["podSelector"]["matchLabels"] == LABELS
    open_ports = objects["base/network.yaml"]["spec"]["ingress"]
    assert [row["ports"][0]["port"] for row in open_ports] == ["http", "metrics"]
    assert "from" in open_ports[1]  # metrics: not for everybody


def test_the_autoscaler_asks_for_what_the_adapter_has() -> None:
    metrics = resources()["components/autoscaling/autoscaler.yaml"]["spec"]["metrics"]
    rules = load_yaml(VALUES)["rules"]["custom"]
    assert [one["pods"]["metric"]["name"] for one in metrics] == [
        one["name"]["as"] for one in rules
    ]
    for rule in rules:
        series = rule["seriesQuery"].partition("{")[0]
        assert f"{series}{{<<.LabelMatchers>>}}" in rule["metricsQuery"]


def test_the_page_names_every_folder_and_what_was_not_run() -> None:
    page = PAGE.read_text("utf-8")
    folders = {path.parent.relative_to(FOLDER).as_posix() for path in kustomizations()}
    assert sorted(one for one in folders if f"`{one}`" not in page and f"({one}/" not in page) == []
    assert "no cluster" in page


def test_kubectl_builds_what_the_page_says() -> None:
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    lines = re.findall(r"^ +(kubectl kustomize .+)$", PAGE.read_text("utf-8"), re.M)
    assert lines
    for line in lines:
        subprocess.run(line.split(), cwd=PROJECT, capture_output=True, check=True)
