"""What `convert doctor` finds, and that it finds it without frameworks and without packages."""

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from convert import recipe
from convert.commands.doctor import at_hand, environment, machine
from convert.commands.doctor.at_hand import Asked, AtHand
from convert.commands.doctor.finding import Finding, missing
from convert.pipeline.cache import TOOLS
from convert.sources import AnySource, HubSource, Source
from convert.weights.download import Store
from tests.convert.support.command_line import PROJECT
from tests.convert.support.command_line import environment as variables
from tests.convert.support.file_server import Good, Server
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
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Asked]:
    """A run of the tiny recipe, in a directory of its own."""
    path = write_recipe(tmp_path)
    monkeypatch.chdir(tmp_path)
    Path("checkpoints").mkdir()

    def ask(**arguments: object) -> Asked:
        plain = Asked([recipe.read(path)], tmp_path / "out", "pretrained", None, None)
        return replace(plain, **arguments)  # type: ignore[arg-type]  # names are checked by it

    return ask


def published_at(monkeypatch: pytest.MonkeyPatch, source: AnySource) -> None:
    """Every recipe read from now on has this source."""
    read = recipe.read
    monkeypatch.setattr(
        recipe,
        "read",
        lambda path: replace(it := read(path), recipe=replace(it.recipe, source=source)),
    )


def one(asked: Asked, store: Store) -> AtHand:
    (found,) = at_hand.look(asked, store)
    assert found.finding.subject == ID
    return found


def test_python_of_another_version_is_missing() -> None:
    levels = {version: next(environment.look(version)).level for version in
              ((3, 10), (3, 11), (3, 13), (3, 14))}  # fmt: skip
    assert (levels[(3, 10)], levels[(3, 14)]) == ("missing", "missing")
    assert "missing" not in (levels[(3, 11)], levels[(3, 13)])


def test_packages_are_compared_with_the_requirements(tmp_path: Path) -> None:
    (tmp_path / "convert.txt").write_text("# made\ntorch==2.13.0\nuvicorn[standard]==1.0 ; x\n")
    (tmp_path / "weights.txt").write_text("some-weights==0.1 \\\n    --hash=sha256:00\n")
    wanted = environment.pins(tmp_path)
    assert wanted == {"torch": "2.13.0", "uvicorn": "1.0", "some-weights": "0.1"}
    installed = dict.fromkeys(environment.NEEDED, "1") | wanted

    def version_of(name: str) -> str:
        if name not in installed:
            raise PackageNotFoundError(name)
        return installed[name]

    installed["torch"] = "2.13.0+cpu"
    (found,) = environment.packages(wanted, version_of)
    assert found.level == "ok"
    installed["uvicorn"] = "2.0"
    del installed["some-weights"]
    (found,) = environment.packages(wanted, version_of)
    assert found.level == "note"
    assert "uvicorn 2.0 (1.0 listed), some-weights absent (0.1 listed)" in found.text
    del installed["torch"]
    (found,) = environment.packages(wanted, version_of)
    assert found.level == "missing"
    assert found.text.startswith("torch not installed; make ")


def test_what_is_needed_is_what_the_requirements_list() -> None:
    assert set(environment.NEEDED) <= set(environment.pins(environment.REQUIREMENTS))
    assert set(TOOLS) <= set(environment.NEEDED)  # a fingerprint asks for their versions


@pytest.mark.parametrize(
    ("features", "load", "levels", "says"),
    [
        ({"sse2", "avx", "avx2", "avx512_vnni"}, 0.1, ["ok"], "INT8 is timed as it will serve"),
        ({"sse2", "avx", "avx2"}, 0.1, ["note"], "8-bit products saturate"),
        ({"sse2"}, 0.1, ["missing"], "TensorFlow does not run without avx"),
        ({"asimd", "asimddp"}, 0.1, ["ok"], "2 usable, asimddp"),
        (set(), 0.1, ["note"], "2 usable, ?"),
        ({"sse2", "avx", "avx_vnni"}, 1.5, ["ok", "note"], "1.5 on 2 CPUs"),
    ],
)
def test_cpu(features: set[str], load: float, levels: list[str], says: str) -> None:
    found = list(machine.cpu(frozenset(features), 2, load))
    assert [each.level for each in found] == levels
    assert says in " ".join(each.text for each in found)


def test_memory_is_what_the_kernel_and_the_container_leave(tmp_path: Path) -> None:
    meminfo, limit = tmp_path / "meminfo", tmp_path / "memory.max"
    meminfo.write_text("MemTotal: 33554432 kB\nMemAvailable:   16777216 kB\n")
    limit.write_text("max\n")
    assert machine.available_bytes(meminfo, [limit]) == 16 << 30
    assert machine.memory(16 << 30).level == "ok"
    limit.write_text(f"{4 << 30}\n")
    assert machine.available_bytes(meminfo, [limit]) == 4 << 30
    assert machine.memory(4 << 30).level == "note"
    assert machine.available_bytes(tmp_path / "none", []) is None
    assert machine.memory(None).level == "note"


def test_disk_and_directory(tmp_path: Path) -> None:
    out = tmp_path / "not" / "yet"
    assert machine.disk(out, 1e6).level == "ok"
    assert machine.disk(out, 1e18).level == "missing"
    assert machine.writable(out).level == "ok"
    assert not out.exists()
    (tmp_path / "not").write_text("a file")
    blocked = machine.writable(out)
    assert (blocked.level, blocked.text) == (
        "missing",
        f"{tmp_path / 'not'} is a file; give --out DIR",
    )


def test_placed_file_is_told_with_its_kind_and_size(
    asked: Callable[..., Asked], store: Store
) -> None:
    placed = Path(f"checkpoints/{ID}.pth")
    placed.write_bytes(TORCH_FILE)
    found = one(asked(), store)
    assert found.finding == Finding("ok", ID, f"{placed}, a torch file, 0.0 MB")
    assert (found.size_bytes, found.fetched_bytes) == (len(TORCH_FILE), 0)
    for content, says in (
        (b"version https://git-lfs.github.com/spec/v1\n", "git-lfs pointer"),
        (b"", "the file is empty"),
    ):
        placed.write_bytes(content)
        finding = one(asked(), store).finding
        assert finding.level == "missing"
        assert says in finding.text


def test_folders_and_files_that_are_not_there(
    asked: Callable[..., Asked], store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    assert "the folder is empty" in one(asked(checkpoint=folder), store).finding.text
    (folder / "config.json").write_text("{}")
    assert one(asked(checkpoint=folder), store).finding.level == "ok"
    finding = one(asked(checkpoint=tmp_path / "none.pth"), store).finding
    assert (finding.level, "No such file" in finding.text) == ("missing", True)
    finding = one(asked(checkpoint=folder, labels=tmp_path / "none.txt"), store).finding
    assert (finding.level, "none.txt: no such file" in finding.text) == ("missing", True)


def test_stand_ins_are_a_note_where_they_are_allowed(
    asked: Callable[..., Asked], store: Store
) -> None:
    finding = one(asked(), store).finding
    assert finding.level == "missing"
    assert f"Place them as checkpoints/{ID}.pth" in finding.text
    for mode in ("auto", "seeded"):
        found = one(asked(mode=mode), store)
        assert found.finding.level == "note"
        assert "the answers will mean nothing" in found.finding.text
        assert found.size_bytes == at_hand.ASSUMED_BYTES


def test_published_weights_before_and_after_they_came(
    asked: Callable[..., Asked], store: Store, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = server.serve("/net.pth", Good(TORCH_FILE))
    published = Source(address, licence="MIT", size_bytes=len(TORCH_FILE))
    published_at(monkeypatch, published)
    offline = replace(store, network=None)
    finding = one(asked(), offline).finding
    assert (finding.level, "SLIPWAY_OFFLINE is set" in finding.text) == ("missing", True)
    assert one(asked(mode="auto"), offline).finding.level == "note"
    found = one(asked(), store)
    told = f"will be fetched from {address} (MIT), 0.0 MB"
    assert found.finding == Finding("note", ID, told)
    assert found.fetched_bytes == len(TORCH_FILE)
    assert server.asked == []  # nothing is fetched here
    path = store.fetch(published).path
    found = one(asked(), offline)
    assert found.finding == Finding("ok", ID, f"{path}, a torch file, 0.0 MB")
    assert found.fetched_bytes == 0
    path.unlink()
    assert one(asked(), store).finding.level == "note"


def test_host_that_does_not_answer_is_told(
    asked: Callable[..., Asked], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}/net.pth"
    published_at(monkeypatch, Source(address, licence="MIT"))
    finding = one(asked(), store).finding
    assert finding.level == "missing"
    assert f"Published at {address} (MIT): 127.0.0.1 cannot be reached" in finding.text


def test_weights_of_an_installed_package(
    asked: Callable[..., Asked], store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "packages/doctors_weights/model"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder.parent / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(folder.parents[1])
    package = "doctors_weights/model"
    published_at(monkeypatch, HubSource("a/b", "MIT", ("config.json",), package=package))
    found = one(asked(), replace(store, network=None))
    assert found.finding == Finding("ok", ID, f"{folder}, a folder, 0.0 MB")


def test_disk_is_estimated_from_all_weights_and_the_largest() -> None:
    nothing = Finding("ok", "a", "b")
    models = [AtHand(nothing, 100, 0), AtHand(nothing, 1000, 1000)]
    assert at_hand.disk_bytes(models) == pytest.approx(1.3 * 1100 + 1000 + 2.0 * 1000)
    assert at_hand.disk_bytes([]) == 0


def test_finding_is_one_line() -> None:
    assert str(Finding("missing", "a", "b\n  c")) == "missing  a: b c"
    assert missing([Finding("missing", "a", ""), Finding("note", "b", "")]) == 1


def lines(done: subprocess.CompletedProcess[str]) -> Iterator[str]:
    assert done.stderr == ""
    *found, empty, _ = done.stdout.splitlines()
    assert empty == ""
    yield from found


def test_exit_code_and_one_line_per_finding(tiny_recipe: Path, tmp_path: Path) -> None:
    done = doctor("--recipe", tiny_recipe, "--weights", "auto", directory=tmp_path)
    assert done.returncode == 0, done.stdout
    assert {line.split()[0] for line in lines(done)} <= {"ok", "note"}
    assert done.stdout.endswith("\nnothing is missing\n")
    done = doctor("--recipe", tiny_recipe, "--calibration", "nowhere", directory=tmp_path)
    assert done.returncode == 1
    told = [line.split()[1] for line in lines(done) if line.startswith("missing")]
    assert told == [f"{ID}:", "calibration:"]
    assert done.stdout.endswith("\n2 missing\n")
    assert list(tmp_path.iterdir()) == []  # it only looks
    done = doctor("nobody", directory=tmp_path)
    assert "missing  models: model 'nobody' has no recipe; known: " in done.stdout


def test_no_framework_is_imported(tmp_path: Path) -> None:
    done = doctor("--weights", "seeded", directory=tmp_path, flags=("-X", "importtime"))
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "convert.commands.doctor.at_hand" in imported
    assert imported.isdisjoint({"torch", "tensorflow", "keras", "transformers", "optimum"})


def test_it_runs_where_no_package_is_installed() -> None:
    done = doctor(directory=PROJECT, flags=("-S",))  # no site-packages
    assert done.returncode == 1
    assert "missing  packages: numpy, " in done.stdout
    assert done.stderr == ""
