"""Models load one by one in a thread; a version that is refused costs itself alone."""

import asyncio
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runtime import Model
from runtime.artifact.golden import read_golden
from runtime.artifact.manifest import read_manifest
from runtime.errors import ArtifactError, UnavailableError
from serve.errors import NotFoundError
from serve.repository.load_version import load_version
from serve.repository.models import ModelRepository, find_model
from serve.repository.readiness import missing_models
from serve.repository.scan import Version, list_models
from serve.repository.status import ModelState
from serve.repository.task_models import TaskModel, check_task_models
from serve.settings.kinds import Selection
from tests.serve.support.repository import load_all
from tests.support.artifacts import (
    CLASSIFIER,
    EMBEDDING,
    SEGMENTATION,
    edit_manifest,
    rewrite_golden,
    write_artifact,
)

XCEPTION, MOBILENET = "face_emotion_xception", "image_embedding_mobilenetv2"
ALL = Selection(every=True)


def ids(root: Path) -> list[str]:
    return [entry.id for entry in list_models(root, allow_seeded=False).entries]


def test_every_directory_with_a_version_is_a_model(artifacts: Path) -> None:
    assert ids(artifacts) == [
        "background_u2netp",
        "face_emotion_xception",
        "image_embedding_mobilenetv2",
        "tiny_detector",
        "tiny_slow",
        "tiny_tensors",
    ]


def test_what_is_no_model_is_passed_over(tmp_path: Path) -> None:
    write_artifact(tmp_path, CLASSIFIER)
    for name in ("lost+found", ".work", "notes"):
        (tmp_path / name).mkdir()
    (tmp_path / "report.html").write_text("files are no models")
    listing = list_models(tmp_path, allow_seeded=False)
    assert [entry.id for entry in listing.entries] == [XCEPTION]
    assert [sentence.partition(" is no model")[0] for sentence in listing.ignored] == [
        str(tmp_path / "lost+found"),
        str(tmp_path / "notes"),
    ]


@pytest.mark.parametrize("missing", [True, False])
def test_an_empty_directory_is_refused_with_the_command_to_run(
    tmp_path: Path, missing: bool
) -> None:
    root = tmp_path / "artifacts"
    if not missing:
        root.mkdir()
        (root / "README.md").write_text("")
    with pytest.raises(ArtifactError, match=r"artifacts .*python -m convert run"):
        ids(root)


def damage_weights(directory: Path) -> None:
    data = bytearray((directory / "float.onnx").read_bytes())
    data[100] ^= 1
    (directory / "float.onnx").write_bytes(data)


def remove_manifest(directory: Path) -> None:
    (directory / "manifest.json").unlink()


def cut_manifest(directory: Path) -> None:
    text = (directory / "manifest.json").read_text()
    (directory / "manifest.json").write_text(text[: len(text) // 2])


def change_golden(directory: Path) -> None:
    golden = read_golden(directory, read_manifest(directory))
    arrays = {f"input/{name}": array for name, array in golden.inputs.items()}
    outputs = {f"output/{name}": array + 0.01 for name, array in golden.outputs.items()}
    rewrite_golden(directory, {**arrays, **outputs})


def make_seeded(directory: Path) -> None:
    weights = {"origin": "seeded", "source": "", "sha256": "0" * 64}
    edit_manifest(directory, {"weights": weights})


def replace_by_a_file(directory: Path) -> None:
    for path in directory.iterdir():
        path.unlink()
    directory.rmdir()
    directory.write_text("no directory")


DAMAGES = [
    (damage_weights, r"float\.onnx has sha256"),
    (remove_manifest, "holds no manifest.json: not an artifact, or half written"),
    (cut_manifest, r"manifest\.json"),
    (change_golden, r"golden output probabilities differs by 1\.0e-02.*allowed: 1\.0e-03"),
    (make_seeded, "seeded weights.*SLIPWAY_ALLOW_SEEDED=1"),
    (lambda path: edit_manifest(path, {"surprise": 1}), "surprise is not a known field"),
    (lambda path: edit_manifest(path, {"version": 7}), "manifest.json says version 7"),
    (replace_by_a_file, "manifest.json"),
]


@pytest.mark.parametrize(("damage", "reason"), DAMAGES)
def test_a_bad_version_costs_itself_alone(
    tmp_path: Path, damage: Callable[[Path], Any], reason: str
) -> None:
    write_artifact(tmp_path, EMBEDDING)
    write_artifact(tmp_path, CLASSIFIER, version=1)
    damage(write_artifact(tmp_path, CLASSIFIER, version=2))
    repository = load_all(tmp_path)
    assert list(repository) == [XCEPTION, MOBILENET]
    assert repository[XCEPTION].manifest.version == 1
    status = repository.status(XCEPTION)
    assert status.state is ModelState.READY
    assert list(status.refused) == [2]
    assert re.search(reason, status.refused[2])
    assert missing_models(repository, ALL) == {}


@pytest.mark.parametrize(("damage", "reason"), DAMAGES)
def test_a_model_without_a_good_version_is_not_served(
    tmp_path: Path, damage: Callable[[Path], Any], reason: str
) -> None:
    write_artifact(tmp_path, EMBEDDING)
    damage(write_artifact(tmp_path, CLASSIFIER))
    repository = load_all(tmp_path)
    assert list(repository) == [MOBILENET]
    assert XCEPTION in repository
    assert repository.status(XCEPTION).state is ModelState.FAILED
    with pytest.raises(
        UnavailableError, match=f"model '{XCEPTION}' is not served: .*{reason}"
    ) as error:
        find_model(repository, XCEPTION)
    # clients read these; where the files are is the server's own affair
    status = repository.status(XCEPTION)
    for text in (str(error.value), json.dumps(status.to_json()), status.problem):
        assert str(tmp_path) not in text
    assert list(missing_models(repository, ALL)) == [XCEPTION]
    assert missing_models(repository, Selection((MOBILENET,))) == {}
    assert missing_models(repository, Selection()) == {}


def test_a_version_older_than_the_served_one_is_nobodys_concern(tmp_path: Path) -> None:
    damage_weights(write_artifact(tmp_path, CLASSIFIER, version=1))
    write_artifact(tmp_path, CLASSIFIER, version=10)
    repository = load_all(tmp_path)
    assert repository[XCEPTION].manifest.version == 10
    assert repository.status(XCEPTION).refused == {}


def test_a_model_under_another_name_is_refused(tmp_path: Path) -> None:
    write_artifact(tmp_path, EMBEDDING)
    write_artifact(tmp_path, CLASSIFIER)
    (tmp_path / XCEPTION).rename(tmp_path / "other")
    reason = load_all(tmp_path).status("other").problem
    assert f"other/1 holds the model {XCEPTION!r}; allowed: 'other'" in reason


def test_a_graph_that_returns_nan_is_refused(tmp_path: Path) -> None:
    directory = write_artifact(tmp_path, CLASSIFIER)
    golden = read_golden(directory, read_manifest(directory))
    arrays = {f"input/{name}": array for name, array in golden.inputs.items()}
    outputs = {f"output/{n}": np.full_like(a, np.nan) for n, a in golden.outputs.items()}
    rewrite_golden(directory, {**arrays, **outputs})
    (entry,) = list_models(tmp_path, allow_seeded=False).entries
    with pytest.raises(ArtifactError, match="golden output probabilities differs by nan"):
        load_version(entry.versions[0], threads=1)


def test_seeded_weights_with_permission(tmp_path: Path) -> None:
    write_artifact(tmp_path, CLASSIFIER, origin="seeded")
    assert list(load_all(tmp_path, allow_seeded=True)) == [XCEPTION]


def test_a_must_serve_model_that_is_absent_is_named(artifacts: Path) -> None:
    repository = ModelRepository((), load=_never)
    reason = "it is not in the directory of the models"
    assert missing_models(repository, Selection(("nobody",))) == {"nobody": reason}


def _never(version: Version) -> Model:
    raise AssertionError


def test_an_unknown_id_is_refused_with_the_known_ids(tmp_path: Path) -> None:
    write_artifact(tmp_path, CLASSIFIER)
    write_artifact(tmp_path, EMBEDDING)
    repository = load_all(tmp_path)
    assert find_model(repository, XCEPTION) is repository[XCEPTION]
    with pytest.raises(NotFoundError, match=rf"'nobody' .*: {XCEPTION}, {MOBILENET}$"):
        find_model(repository, "nobody")


def test_a_task_route_needs_a_model_of_its_task(artifacts: Path) -> None:
    tasks = {"background_u2netp": "image-segmentation", MOBILENET: "image-feature-extraction"}
    tiny = list_models(artifacts, allow_seeded=False)
    assert tasks.items() <= ModelRepository(tiny.entries, _never).tasks.items()
    variable, task = "SLIPWAY_SIMILARITY_MODEL", "image-feature-extraction"
    served = ModelRepository(tiny.entries, _never).tasks
    check_task_models(served, (TaskModel(variable, "not_converted", "image-segmentation"),))
    check_task_models(served, (TaskModel(variable, MOBILENET, "image-feature-extraction"),))
    wrong = TaskModel(variable, "background_u2netp", "image-feature-extraction")
    with pytest.raises(ArtifactError, match=rf"{variable} is 'background_u2netp'.*{task}") as error:
        check_task_models(served, (wrong, wrong))
    assert len(str(error.value).splitlines()) == 2


# while a model loads


class Gate:
    """A loader that waits until the test lets it through, and counts."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.loads: list[str] = []

    def __call__(self, version: Version) -> Model:
        self.loads.append(version.manifest.id)
        assert self.open.wait(60)
        return load_version(version, threads=1)


@contextmanager
def gated(root: Path, **options: Any) -> Iterator[tuple[ModelRepository, Gate]]:
    gate = Gate()
    entries = list_models(root, allow_seeded=False).entries
    repository = ModelRepository(entries, gate, **options)
    try:
        yield repository, gate
    finally:
        gate.open.set()
        repository.close()


@pytest.fixture
def two_models(tmp_path: Path) -> Path:
    write_artifact(tmp_path, SEGMENTATION)
    write_artifact(tmp_path, CLASSIFIER)
    return tmp_path


def test_a_look_up_waits_for_the_load(two_models: Path) -> None:
    with gated(two_models) as (repository, gate):
        done = repository.start()
        assert set(missing_models(repository, ALL).values()) == {"loading"}
        assert repository.loaded(XCEPTION) is None
        threading.Timer(0.1, gate.open.set).start()
        assert repository[XCEPTION].spec.id == XCEPTION

        async def look_up() -> Model:
            return await repository.wait_for(XCEPTION)

        assert asyncio.run(look_up()) is repository[XCEPTION] is repository.loaded(XCEPTION)
        done.result()
        assert missing_models(repository, ALL) == {}


def test_the_models_that_must_serve_load_first(two_models: Path) -> None:
    with gated(two_models) as (repository, gate):
        gate.open.set()
        repository.start(first=lambda name: name == XCEPTION).result()
        assert gate.loads == [XCEPTION, "background_u2netp"]


def test_small_models_load_before_large_ones(artifacts: Path) -> None:
    with gated(artifacts) as (repository, gate):
        gate.open.set()
        repository.start().result()
    entries = {entry.id: entry for entry in list_models(artifacts, allow_seeded=False).entries}
    sizes = [entries[name].size_bytes for name in gate.loads]
    assert sizes == sorted(sizes)
    assert len(set(sizes)) > 1


def test_a_look_up_does_not_wait_for_ever(two_models: Path) -> None:
    with gated(two_models, wait_s=0.05) as (repository, _):
        repository.start()
        with pytest.raises(UnavailableError, match="is still loading"):
            repository[XCEPTION]

        async def look_up() -> Model:
            return await repository.wait_for(XCEPTION)

        with pytest.raises(UnavailableError, match="is still loading"):
            asyncio.run(look_up())


def test_who_waits_when_the_server_ends_is_told(two_models: Path) -> None:
    with gated(two_models) as (repository, _):
        repository.start()
        threading.Timer(0.1, repository.close).start()
        with pytest.raises(UnavailableError, match="the server ends"):
            repository[XCEPTION]


def test_a_client_that_leaves_does_not_stop_the_load(two_models: Path) -> None:
    with gated(two_models) as (repository, gate):

        async def leave() -> Model:
            repository.start()
            waiting = asyncio.create_task(repository.wait_for(XCEPTION))
            await asyncio.sleep(0.05)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
            gate.open.set()
            return await repository.wait_for(XCEPTION)

        assert asyncio.run(leave()).spec.id == XCEPTION


def test_a_lazy_model_loads_once_when_it_is_asked_for(two_models: Path) -> None:
    with gated(two_models, is_lazy=lambda name: name == XCEPTION) as (repository, gate):
        gate.open.set()
        repository.start().result()
        assert repository.status(XCEPTION).state is ModelState.UNLOADED
        assert missing_models(repository, ALL) == {}
        assert gate.loads == ["background_u2netp"]

        async def ask_twice() -> list[Model]:
            return await asyncio.gather(*(repository.wait_for(XCEPTION) for _ in range(8)))

        assert len(set(map(id, asyncio.run(ask_twice())))) == 1
        assert gate.loads == ["background_u2netp", XCEPTION]


def test_a_lazy_model_that_cannot_be_loaded_is_not_ready(tmp_path: Path) -> None:
    write_artifact(tmp_path, CLASSIFIER, version=1)
    (write_artifact(tmp_path, CLASSIFIER, version=2) / "float.onnx").unlink()
    (write_artifact(tmp_path, EMBEDDING) / "golden.npz").write_bytes(b"short")
    with gated(tmp_path, is_lazy=lambda _: True) as (repository, gate):
        gate.open.set()
        assert repository.status(XCEPTION).state is ModelState.UNLOADED
        assert "float.onnx cannot be read" in repository.status(XCEPTION).refused[2]
        (name,) = missing_models(repository, ALL)
        assert name == MOBILENET
        assert repository[XCEPTION].manifest.version == 1


def test_the_log_names_the_model_and_the_reason(tmp_path: Path) -> None:
    lines: list[str] = []
    damage_weights(write_artifact(tmp_path, EMBEDDING))
    write_artifact(tmp_path, CLASSIFIER, version=1)
    damage_weights(write_artifact(tmp_path, CLASSIFIER, version=2))
    with gated(tmp_path, report=lines.append) as (repository, gate):
        gate.open.set()
        repository.start().result()
    by_start = {line.split(" ")[0]: line for line in lines}
    refused, failed = by_start[f"{XCEPTION}/2"], by_start["model"]
    assert refused.startswith(f"{XCEPTION}/2 is refused, 1 is served: ")
    assert failed.startswith(f"model {MOBILENET!r} is not served: ")
    assert all("has sha256" in line for line in (refused, failed))
    assert all(str(tmp_path) in line for line in (refused, failed))
    assert f"{XCEPTION}/1 float on cpu" in lines
    assert len(lines) == 3
