"""Enter the built image, and serve from it read-only, as its user, in 512 MiB."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from serve import __version__
from tests.deploy.image.conftest import BuildOptions, Image, build, run
from tests.deploy.image.layers import Layer, differences, read_layers
from tests.serve.troubles.support.cgroup import Cgroup, memory_cgroup
from tests.support.images import half_white, png
from tests.support.ports import free_port

LIMIT = 512 * 2**20
MOST_UNPACKED = 320e6  # bytes, without artifacts
MOST_COMPRESSED = 125e6
START_S = 180.0
# binds make the root read-only with the kernel's file systems in it, as container engines do
ENTER = """
mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && mount -t proc proc "$1/proc" || exit 70
mount --rbind /sys "$1/sys" && mount --bind /dev "$1/dev" || exit 71
[ -z "$2" ] || echo $$ >"$2/tasks" || exit 72
root="$1"; shift 2
exec unshare --root="$root" --wd=/slipway --setgid 10001 --setuid 10001 "$@"
"""
IMPORT_ALL = """
import importlib, pathlib, sysconfig
for path in sorted(pathlib.Path(sysconfig.get_path("stdlib"), "lib-dynload").glob("*.so")):
    importlib.import_module(path.name.partition(".")[0])
import _ctypes, hashlib, ssl
print(ssl.create_default_context().cert_store_stats()["x509_ca"])
"""
WRITABLE = """
import os
for folder, folders, files in os.walk("/"):
    if folder in ("/proc", "/sys", "/dev", "/run", "/tmp"):
        folders.clear()
        continue
    for name in (*folders, *files):
        path = os.path.join(folder, name)
        if not os.path.islink(path) and os.access(path, os.W_OK):
            print(path)
"""


@contextmanager
def entered(root: Path, cgroup: Cgroup | None, image: Image, **settings: str) -> Iterator[int]:
    """Run the image's command in a read-only root until the block ends; give its port."""
    config = image.description()["config"]
    port = free_port()
    environ = dict(line.split("=", 1) for line in config["Env"])
    environ |= {"PORT": str(port), "SLIPWAY_ALLOW_SEEDED": "1", **settings}
    group = "" if cgroup is None else str(cgroup.path)
    command = ("unshare", "--mount", "sh", "-c", ENTER, "sh", str(root), group, *config["Cmd"])
    environ["PATH"] += f":{os.environ['PATH']}"
    log = image.store / f"serve-{port}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, env=environ, stdout=file, stderr=file)
    try:
        deadline = time.monotonic() + START_S
        while not _ready(port):
            assert process.poll() is None, log.read_text()[-3000:]
            assert time.monotonic() < deadline, log.read_text()[-3000:]
            time.sleep(0.2)
        yield port
    finally:
        process.terminate()
        assert process.wait(timeout=60) == 0, log.read_text()[-3000:]


def _ready(port: int) -> bool:
    try:
        url = f"http://127.0.0.1:{port}/v2/health/ready"
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False


def layers(image: Image, tag: str) -> list[Layer]:
    """Return the layers of an image, in a folder of OCI's layout with the name of the tag."""
    folder = image.store / tag
    image.buildah("push", "--quiet", "--format", "oci", image.name, f"oci:{folder}:x")
    return read_layers(folder)


def test_the_zoo_answers_read_only_in_512_mib(image: Image, artifacts_of_image: Path) -> None:
    with image.mounted() as root, memory_cgroup(LIMIT) as cgroup:
        if cgroup is None:
            pytest.skip("no memory cgroup of version 1 can be made here")
        cgroup.path.chmod(0o755)  # the user of the image reads the limit
        with entered(root, cgroup, image) as port:
            url = f"http://127.0.0.1:{port}"
            check = ("-m", "deploy.check", "--url", url, "--artifacts", str(artifacts_of_image))
            table = run(sys.executable, *check)
            for path in ("/", "/docs", "/openapi.json", "/metrics"):
                answer = httpx.get(url + path, trust_env=False)
                assert answer.status_code == 200, path
        assert cgroup.oom_kills == 0
        print(table.splitlines()[-1])


def test_the_image_has_four_layers_within_the_budget(image: Image) -> None:
    found = layers(image, "sizes")
    for layer, part in zip(found, ("root", "packages", "code", "artifacts"), strict=True):
        sizes = (layer.unpacked_bytes / 1e6, layer.packed_bytes / 1e6)
        print("{:10} {:6.1f} MB {:6.1f} MB compressed".format(part, *sizes))
    assert sum(layer.unpacked_bytes for layer in found[:3]) <= MOST_UNPACKED
    assert sum(layer.packed_bytes for layer in found[:3]) <= MOST_COMPRESSED


def test_nothing_but_python_packages_code_and_artifacts(image: Image) -> None:
    with image.mounted() as root:
        names = {path.relative_to(root).as_posix() for path in root.rglob("*")}
        assert sorted(os.listdir(root / "usr/bin")) == ["python3", "python3.11"]
        assert sorted(os.listdir(root / "usr/sbin")) == []
        assert "slipway/serve/client.py" in names
        modes = [path.lstat() for path in root.rglob("*")]
    unwanted = ("pip", "setuptools", "torch", "tensorflow", "onnx", "ensurepip", "tests")
    assert [name for name in names if name.rpartition("/")[2] in unwanted] == []
    assert [name for name in names if name.rpartition("/")[2].startswith("test_")] == []
    assert [name for name in names if name.endswith((".pt", ".whl", ".deb"))] == []
    assert [mode for mode in modes if mode.st_uid != 0 or mode.st_mode & 0o6000] == []


def test_a_user_without_rights_on_any_file(image: Image) -> None:
    assert image.description()["config"]["User"] == "10001:10001"
    assert image.enter("python3", "-c", WRITABLE).split() == ["/tmp"]


def test_every_module_of_the_standard_library_loads(image: Image) -> None:
    assert int(image.enter("python3", "-c", IMPORT_ALL)) > 100  # authorities for TLS


def test_an_artifact_is_verified_where_it_serves(image: Image, artifacts_of_image: Path) -> None:
    manifest = min(artifacts_of_image.glob("*/*/manifest.json"), key=_folder_size)
    folder = f"artifacts/{manifest.parent.parent.name}"
    answer = image.enter("python3", "-m", "convert", "verify", folder)
    assert answer.rstrip().endswith("passed")


def _folder_size(manifest: Path) -> int:
    return sum(path.stat().st_size for path in manifest.parent.iterdir())


def test_an_artifact_is_evaluated_where_it_serves(
    image: Image, artifacts_of_image: Path, tmp_path: Path
) -> None:
    specs = [
        json.loads(path.read_text())["spec"] for path in artifacts_of_image.glob("*/*/m*.json")
    ]
    classifiers = [spec for spec in specs if spec["task"] == "image-classification"]
    if not classifiers:
        pytest.skip("no classifier of images is among the artifacts")
    model, labels = classifiers[0]["id"], classifiers[0]["labels"]
    for label in labels[:2]:
        (tmp_path / "cases" / label).mkdir(parents=True)
        (tmp_path / "cases" / label / "a.png").write_bytes(png(half_white()))
    for folder in (tmp_path, *tmp_path.parents[:1]):
        folder.chmod(0o755)
    command = ("python3", "-m", "convert", "evaluate", f"artifacts/{model}", "/cases")
    answer = image.enter(*command, volume=f"{tmp_path}/cases:/cases:ro")
    assert "of 2 cases" in answer


def test_labels_health_check_and_signal(image: Image) -> None:
    config = image.description()["config"]
    labels = {name.rpartition(".")[2]: text for name, text in config["Labels"].items()}
    assert {"title", "description", "licenses"} <= labels.keys()
    assert labels["version"] == __version__
    assert config["Healthcheck"]["Test"] == ["CMD", "python3", "-m", "deploy.healthcheck"]
    assert (config["StopSignal"], config["WorkingDir"]) == ("SIGTERM", "/slipway")


def test_the_bill_of_materials_names_every_package(image: Image) -> None:
    with image.mounted() as root:
        document = json.loads((root / "slipway/sbom.cdx.json").read_text())
        debian = set(os.listdir(root / "var/lib/dpkg/status.d"))
        wheels = {path.name for path in root.glob("usr/local/lib/*/dist-packages/*.dist-info")}
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(document)) is None
    purls = [component["purl"] for component in document["components"]]
    assert sum(purl.startswith("pkg:deb/") for purl in purls) == len(debian) >= 15
    assert sum(purl.startswith("pkg:pypi/") for purl in purls) == len(wheels) >= 20


def test_a_second_build_has_the_same_layers(
    image: Image, store: Path, artifacts_of_image: Path
) -> None:
    engine = "podman" if shutil.which("podman") else "buildah"
    print(f"buildah, then {engine} from a copy with other times and rights")
    options = BuildOptions(engine, ("--no-cache",), writable=True)
    again = build(store, artifacts_of_image, "slipway-again", options)
    assert differences(layers(again, "again"), layers(image, "first")) == []
