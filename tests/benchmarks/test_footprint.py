import re
from importlib.metadata import distribution
from pathlib import Path

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.footprint import DEPLOYED, measure_imports, package_sizes


def test_serve_and_runtime_load_no_framework() -> None:
    assert measure_imports(1).frameworks == ()


def test_the_time_of_an_import_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow_module.py").write_text("import time; time.sleep(0.1)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert measure_imports(1, modules=["slow_module"]).seconds >= 0.1


def test_a_loaded_framework_is_reported() -> None:
    assert measure_imports(1, modules=["PIL"]).frameworks == ("PIL",)


def test_sizes_are_those_of_the_deployed_packages_alone() -> None:
    sizes_mb = package_sizes()
    assert len(sizes_mb) == len(re.findall(r"^\S+==\S+ \\$", DEPLOYED.read_text(), re.MULTILINE))
    assert {"numpy", "onnxruntime", "opencv-python-headless", "starlette"} <= sizes_mb.keys()
    assert sizes_mb.keys().isdisjoint({"pip", "setuptools", "pytest", "mypy", "pillow"})
    assert 200 < sum(sizes_mb.values()) <= 330


def test_the_size_of_a_package_is_that_of_its_folders() -> None:
    site_packages = Path(str(distribution("starlette").locate_file("")))
    folders = [p for p in site_packages.glob("starlette*") if p.is_dir()]
    size_bytes = sum(p.stat().st_size for f in folders for p in f.rglob("*") if p.is_file())
    # byte code that was written after the installation is not in its record
    assert package_sizes()["starlette"] == pytest.approx(size_bytes / 1e6, rel=0.02)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("numpy==1.0 \\\n    --hash=sha256:00", r"numpy is \d\S+; the image holds numpy==1\.0"),
        ("no-such-thing==2.0", r"no-such-thing is not installed; .* no-such-thing==2\.0"),
    ],
)
def test_packages_that_differ_from_the_requirements_are_refused(
    tmp_path: Path, line: str, message: str
) -> None:
    (tmp_path / "deploy.txt").write_text(line)
    with pytest.raises(BenchmarkError, match=message):
        package_sizes(tmp_path / "deploy.txt")
