"""Tests of `convert doctor`: its findings, and that it needs neither frameworks nor packages."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from convert import recipe
from convert.commands.doctor import environment, machine, model_weights
from convert.commands.doctor.finding import Finding, count_missing
from convert.commands.doctor.model_weights import ModelWeights, WeightsOptions
from convert.pipeline.cache import TOOLS
from convert.sources import AnySource, Source
from convert.weights.download import Store
from tests.convert.support.command_line import PROJECT
from tests.convert.support.command_line import environment as variables
from tests.convert.support.file_server import GoodFile, Server
from tests.convert.support.packages import install
from tests.convert.support.tiny import write_recipe

TORCH_FILE = b"\x80\x02}q\x00."  # as a pickle begins
ID = "where_is_it"


def doctor(
    *arguments: str | Path, directory: Path, flags: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *flags, "-m", "convert", "doctor", *map(str, arguments)],
        cwd=directory,
        env={**variables(), "SLIPWAY_OFFLINE": "1", "XDG_CACHE_HOME": str(directory / "cache")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.fixture
def options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., WeightsOptions]:
    """Return a function that makes options for the tiny recipe, in a directory of its own."""
    path = write_recipe(tmp_path)
    monkeypatch.chdir(tmp_path)
    Path("checkpoints").mkdir()

    def make(**changes: object) -> WeightsOptions:
        plain = WeightsOptions([recipe.read(path)], tmp_path / "out", "pretrained", None, None)
        return replace(plain, **changes)  # type: ignore[arg-type]  # replace checks the names

    return make


def published_at(monkeypatch: pytest.MonkeyPatch, source: AnySource) -> None:
    """Give every recipe that is read from now on this source."""
    read = recipe.read
    monkeypatch.setattr(
        recipe,
        "read",
        lambda path: replace(it := read(path), recipe=replace(it.recipe, source=source)),
    )


def check(options: WeightsOptions, store: Store) -> ModelWeights:
    (weights,) = model_weights.check_weights(options, store)
    assert weights.finding.subject == ID
    return weights


def test_python_of_another_version_is_missing() -> None:
    levels = {version: next(environment.check_environment(version)).level for version in
              ((3, 10), (3, 11), (3, 13), (3, 14))}  # fmt: skip
    assert (levels[(3, 10)], levels[(3, 14)]) == ("missing", "missing")
    assert "missing" not in (levels[(3, 11)], levels[(3, 13)])


def test_packages_are_compared_with_the_requirements(tmp_path: Path) -> None:
    (tmp_path / "convert.txt").write_text("# made\ntorch==2.13.0\nuvicorn[standard]==1.0 ; x\n")
    (tmp_path / "weights.txt").write_text("some-weights==0.1 \\\n    --hash=sha256:00\n")
    pins = environment.read_pins(tmp_path)
    assert pins == {"torch": "2.13.0", "uvicorn": "1.0", "some-weights": "0.1"}
    installed = dict.fromkeys(environment.NEEDED, "1") | pins

    def version_of(name: str) -> str:
        if name not in installed:
            raise PackageNotFoundError(name)
        return installed[name]

    installed["torch"] = "2.13.0+cpu"
    (finding,) = environment.check_packages(pins, version_of)
    assert finding.level == "ok"
    installed["uvicorn"] = "2.0"
    del installed["some-weights"]
    (finding,) = environment.check_packages(pins, version_of)
    assert finding.level == "note"
    assert "uvicorn 2.0 (1.0 listed), some-weights absent (0.1 listed)" in finding.text
    del installed["torch"]
    (finding,) = environment.check_packages(pins, version_of)
    assert finding.level == "missing"
    assert finding.text.startswith("torch not installed; make ")


def test_needed_packages_are_in_the_requirements() -> None:
    assert set(environment.NEEDED) <= set(environment.read_pins(environment.REQUIREMENTS))
    assert set(TOOLS) <= set(environment.NEEDED)  # a fingerprint contains their versions


@pytest.mark.parametrize(
    ("features", "load", "levels", "text"),
    [
        ({"sse2", "avx", "avx2", "avx512_vnni"}, 0.1, ["ok"], "INT8 is timed as it will serve"),
        ({"sse2", "avx", "avx2"}, 0.1, ["note"], "8-bit products saturate"),
        ({"sse2"}, 0.1, ["missing"], "TensorFlow does not run without avx"),
        ({"asimd", "asimddp"}, 0.1, ["ok"], "2 usable, asimddp"),
        (set(), 0.1, ["note"], "2 usable, ?"),
        ({"sse2", "avx", "avx_vnni"}, 1.5, ["ok", "note"], "1.5 on 2 CPUs"),
    ],
)
def test_cpu(features: set[str], load: float, levels: list[str], text: str) -> None:
    findings = list(machine.check_cpu(frozenset(features), 2, load))
    assert [finding.level for finding in findings] == levels
    assert text in " ".join(finding.text for finding in findings)


def test_memory_is_the_smaller_of_kernel_and_container(tmp_path: Path) -> None:
    meminfo, limit = tmp_path / "meminfo", tmp_path / "memory.max"
    meminfo.write_text("MemTotal: 33554432 kB\nMemAvailable:   16777216 kB\n")
    limit.write_text("max\n")
    assert machine.available_bytes(meminfo, [limit]) == 16 << 30
    assert machine.check_memory(16 << 30).level == "ok"
    limit.write_text(f"{4 << 30}\n")
    assert machine.available_bytes(meminfo, [limit]) == 4 << 30
    assert machine.check_memory(4 << 30).level == "note"
    assert machine.available_bytes(tmp_path / "none", []) is None
    assert machine.check_memory(None).level == "note"


def test_disk_and_directory(tmp_path: Path) -> None:
    out = tmp_path / "not" / "yet"
    assert machine.check_disk(out, 1e6).level == "ok"
    assert machine.check_disk(out, 1e18).level == "missing"
    assert machine.check_writable(out).level == "ok"
    assert not out.exists()
    (tmp_path / "not").write_text("a file")
    blocked = machine.check_writable(out)
    assert (blocked.level, blocked.text) == (
        "missing",
        f"{tmp_path / 'not'} is a file; give --out DIR",
    )


def test_local_checkpoint_is_reported_with_its_kind_and_size(
    options: Callable[..., WeightsOptions], store: Store
) -> None:
    checkpoint = Path(f"checkpoints/{ID}.pth")
    checkpoint.write_bytes(TORCH_FILE)
    weights = check(options(), store)
    assert weights.finding == Finding("ok", ID, f"{checkpoint}, a torch file, 0.0 MB")
    assert (weights.size_bytes, weights.download_bytes) == (len(TORCH_FILE), 0)
    for content, text in (
        (b"version https://git-lfs.github.com/spec/v1\n", "git-lfs pointer"),
        (b"", "the file is empty"),
    ):
        checkpoint.write_bytes(content)
        finding = check(options(), store).finding
        assert finding.level == "missing"
        assert text in finding.text


def test_empty_folder_and_missing_files(
    options: Callable[..., WeightsOptions], store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    assert "the folder is empty" in check(options(checkpoint=folder), store).finding.text
    (folder / "config.json").write_text("{}")
    assert check(options(checkpoint=folder), store).finding.level == "ok"
    finding = check(options(checkpoint=tmp_path / "none.pth"), store).finding
    assert (finding.level, "No such file" in finding.text) == ("missing", True)
    finding = check(options(checkpoint=folder, labels=tmp_path / "none.txt"), store).finding
    assert (finding.level, "none.txt: no such file" in finding.text) == ("missing", True)


def test_seeded_weights_are_a_note_if_the_mode_allows_them(
    options: Callable[..., WeightsOptions], store: Store
) -> None:
    finding = check(options(), store).finding
    assert finding.level == "missing"
    assert f"Place them as checkpoints/{ID}.pth" in finding.text
    for mode in ("auto", "seeded"):
        weights = check(options(mode=mode), store)
        assert weights.finding.level == "note"
        assert "the answers will mean nothing" in weights.finding.text
        assert weights.size_bytes == model_weights.ASSUMED_BYTES


def test_published_weights_before_and_after_their_download(
    options: Callable[..., WeightsOptions],
    store: Store,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    address = server.serve("/net.pth", GoodFile(TORCH_FILE))
    published = Source(address, licence="MIT", size_bytes=len(TORCH_FILE))
    published_at(monkeypatch, published)
    offline = replace(store, network=None)
    finding = check(options(), offline).finding
    assert (finding.level, "SLIPWAY_OFFLINE is set" in finding.text) == ("missing", True)
    assert check(options(mode="auto"), offline).finding.level == "note"
    weights = check(options(), store)
    text = f"will be downloaded from {address} (MIT), 0.0 MB"
    assert weights.finding == Finding("note", ID, text)
    assert weights.download_bytes == len(TORCH_FILE)
    assert server.requests == []  # the doctor downloads nothing
    path = store.fetch(published).path
    weights = check(options(), offline)
    assert weights.finding == Finding("ok", ID, f"{path}, a torch file, 0.0 MB")
    assert weights.download_bytes == 0
    path.unlink()
    assert check(options(), store).finding.level == "note"


def test_unreachable_host_is_reported(
    options: Callable[..., WeightsOptions], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}/net.pth"
    published_at(monkeypatch, Source(address, licence="MIT"))
    finding = check(options(), store).finding
    assert finding.level == "missing"
    assert f"Published at {address} (MIT): 127.0.0.1 cannot be reached" in finding.text


def test_weights_of_an_installed_package(
    options: Callable[..., WeightsOptions],
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    packages = tmp_path / "packages"
    package = install(packages, {"doctors_weights/net.pth": TORCH_FILE})
    monkeypatch.syspath_prepend(packages)
    changed = options()
    (recipe_file,) = changed.recipe_files
    of_package = replace(recipe_file, recipe=replace(recipe_file.recipe, package=package))
    weights = check(replace(changed, recipe_files=[of_package]), replace(store, network=None))
    text = (
        f"{packages}/doctors_weights/net.pth, a torch file, 0.0 MB; from Python package "
        "doctors-weights 1.2, doctors_weights/net.pth (ISC)"
    )
    assert weights.finding == Finding("ok", ID, text)


def test_disk_is_estimated_from_all_weights_and_the_largest() -> None:
    nothing = Finding("ok", "a", "b")
    models = [ModelWeights(nothing, 100, 0), ModelWeights(nothing, 1000, 1000)]
    assert model_weights.disk_bytes(models) == pytest.approx(1.3 * 1100 + 1000 + 2.0 * 1000)
    assert model_weights.disk_bytes([]) == 0


def test_finding_is_one_line() -> None:
    assert str(Finding("missing", "a", "b\n  c")) == "missing  a: b c"
    assert count_missing([Finding("missing", "a", ""), Finding("note", "b", "")]) == 1


def lines(done: subprocess.CompletedProcess[str]) -> Iterator[str]:
    assert done.stderr == ""
    *findings, empty, _ = done.stdout.splitlines()
    assert empty == ""
    yield from findings


def test_exit_code_and_one_line_per_finding(tiny_recipe: Path, tmp_path: Path) -> None:
    done = doctor("--recipe", tiny_recipe, "--weights", "auto", directory=tmp_path)
    assert done.returncode == 0, done.stdout
    assert {line.split()[0] for line in lines(done)} <= {"ok", "note"}
    assert done.stdout.endswith("\nnothing is missing\n")
    folders = ("--calibration", "nowhere", "--labelled", "nowhere")
    done = doctor("--recipe", tiny_recipe, *folders, directory=tmp_path)
    assert done.returncode == 1
    subjects = [line.split()[1] for line in lines(done) if line.startswith("missing")]
    assert subjects == [f"{ID}:", "calibration:", "labelled:"]
    assert done.stdout.endswith("\n3 missing\n")
    assert list(tmp_path.iterdir()) == []  # it writes nothing
    done = doctor("nobody", directory=tmp_path)
    assert "missing  models: model 'nobody' has no recipe; known: " in done.stdout


def test_no_framework_is_imported(tmp_path: Path) -> None:
    done = doctor("--weights", "seeded", directory=tmp_path, flags=("-X", "importtime"))
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "convert.commands.doctor.model_weights" in imported
    assert imported.isdisjoint({"torch", "tensorflow", "keras", "transformers", "optimum"})


def test_doctor_runs_without_any_package() -> None:
    done = doctor(directory=PROJECT, flags=("-S",))  # no site-packages
    assert done.returncode == 1
    assert "missing  packages: numpy, " in done.stdout
    assert done.stderr == ""
