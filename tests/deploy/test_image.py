"""Facts of the Dockerfile, and its parts that run without a builder."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from deploy.image.sbom import document

ROOT = Path(__file__).parents[2]
DEPLOYED = ROOT / "requirements" / "deploy.txt"
# imports every module of runtime and serve, then prints the files that are imported or mapped
LOADED = """
import importlib, pkgutil, sys
import runtime, serve
for package in (runtime, serve):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
for module in list(sys.modules.values()):
    print(getattr(module, "__file__", None))
for line in open("/proc/self/maps"):
    print(line.split(maxsplit=5)[-1].strip())
"""


def removed_paths() -> list[str]:
    """Return the paths that the image lacks, relative to site-packages; a final * is a wildcard."""
    command = re.search(r"&& rm -r ([^&]+)&&", (ROOT / "Dockerfile").read_text())
    assert command is not None
    return command[1].replace("\\", " ").split()


def loaded_paths() -> list[str]:
    """Return the files of site-packages that runtime and serve load, relative to it."""
    process = subprocess.run(
        [sys.executable, "-c", LOADED], cwd=ROOT, capture_output=True, text=True, check=True
    )
    folder = f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages/"
    return [line.partition(folder)[2] for line in process.stdout.splitlines() if folder in line]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs /proc/self/maps (Linux)")
def test_serving_loads_nothing_that_the_image_lacks() -> None:
    absent = tuple(path.rstrip("*") for path in removed_paths())
    paths = loaded_paths()
    assert any("onnxruntime_pybind11_state" in path for path in paths)
    assert [path for path in paths if path.startswith(absent) or "/tests/" in path] == []


def stages() -> dict[str, str]:
    """Return the instructions of the Dockerfile by stage, without comments."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)
    parts = re.split(r"^FROM (\S+) AS (\S+)\n", text, flags=re.MULTILINE)[1:]
    return {
        name: f"FROM {base}\n{body}"
        for base, name, body in zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    }


@pytest.mark.parametrize("name", ["serve", "serve-given"])
def test_the_final_stages_only_copy_onto_an_empty_image(name: str) -> None:
    found = stages()
    assert found["server"].startswith("FROM scratch\n")
    assert found[name].startswith("FROM server\n")
    assert re.findall(r"^(?:RUN|ADD)", found["server"] + found[name], flags=re.MULTILINE) == []
    assert re.findall(r"^USER (.*)", found["server"], flags=re.MULTILINE) == ["10001:10001"]


def test_every_folder_of_code_that_serving_needs_is_copied() -> None:
    copied = re.findall(r"^COPY (\S+) /parts/code/", stages()["parts"], flags=re.MULTILINE)
    assert copied == ["runtime/", "serve/", "convert/", "deploy/*.py"]
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    assert {f"!{path.partition('*')[0]}" for path in copied} <= set(allowed)


def bill_of_materials(tmp_path: Path) -> dict[str, Any]:
    """Return that of a root with one Debian package, and of the packages of this environment."""
    status = tmp_path / "var/lib/dpkg/status.d"
    status.mkdir(parents=True)
    (status / "libc6").write_text(
        "Package: libc6\nVersion: 2.36-9+deb12u1\nArchitecture: amd64\nDescription: GNU C\n text\n"
    )
    return document(tmp_path, Path(numpy.__file__).parents[1], "1.2")


def test_the_bill_of_materials_keeps_the_schema_of_cyclonedx(tmp_path: Path) -> None:
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    found = bill_of_materials(tmp_path)
    assert validator.validate_str(json.dumps(found)) is None
    assert validator.validate_str(json.dumps(found | {"made": "by us"})) is not None


def test_the_bill_of_materials_is_the_same_twice_and_names_everything(tmp_path: Path) -> None:
    found, again = bill_of_materials(tmp_path / "one"), bill_of_materials(tmp_path / "two")
    assert json.dumps(found) == json.dumps(again)
    purls = {part["purl"]: part for part in found["components"]}
    assert "pkg:deb/debian/libc6@2.36-9%2Bdeb12u1?arch=amd64" in purls
    pins = re.findall(r"^([a-z0-9-]+)==(\S+) \\$", DEPLOYED.read_text(), flags=re.MULTILINE)
    assert {f"pkg:pypi/{name}@{version}" for name, version in pins} <= purls.keys()
    opencv = next(part for purl, part in purls.items() if "opencv" in purl)
    assert any("openblas" in part["name"] for part in opencv["components"])
    references = re.findall(r'"bom-ref": "([^"]*)"', json.dumps(found))
    assert len(references) == len(set(references))
