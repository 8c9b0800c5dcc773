"""The provider of each model: the first that loads it and answers as verified."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from runtime import Model, load
from runtime.artifact.golden import read_golden
from runtime.engine.providers import CPU, Provider
from runtime.engine.session import Feeds, Session, SessionOptions
from runtime.errors import ArtifactError
from serve.repository import load_version as load_version_module
from serve.repository.load_version import load_version
from serve.repository.opening import open_repository
from serve.repository.scan import list_models
from serve.settings import Settings
from tests.serve.support.server import running
from tests.support.artifacts import CLASSIFIER, rewrite_golden, write_artifact

MODEL = "face_emotion_xception"
# starts here, and runs no operator of any graph
AZURE = Provider("azure", "AzureExecutionProvider", "onnxruntime")


def test_a_provider_that_does_not_run_the_model_is_passed_over(tmp_path: Path) -> None:
    write_artifact(tmp_path, CLASSIFIER)
    (entry,) = list_models(tmp_path, allow_seeded=False).entries
    model = load_version(entry.versions[0], threads=1, providers=(AZURE, CPU))
    assert model.session.provider == "cpu"
    (note,) = model.notes
    assert note.startswith("not on azure: ")
    assert note.endswith("azure runs none of its operators")
    assert load_version(entry.versions[0], threads=1).notes == ()


@dataclass(frozen=True)
class Halving:
    """A session whose provider computes half of each output."""

    session: Session
    provider: str = AZURE.name

    def run(
        self, feeds: Feeds, output_names: Sequence[str] | None = None
    ) -> dict[str, NDArray[np.generic]]:
        outputs = self.session.run(feeds, output_names)
        return {n: (a.astype(np.float32) / 2).astype(a.dtype) for n, a in outputs.items()}


def test_a_provider_that_answers_otherwise_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load_halving(directory: Path, *, options: SessionOptions, trusted: object) -> Model:
        del trusted
        model = load(directory, options=SessionOptions(threads=1))
        if options.provider != AZURE:
            return model
        halving: Any = Halving(model.session)
        return replace(model, session=halving)

    monkeypatch.setattr(load_version_module, "load", load_halving)
    write_artifact(tmp_path, CLASSIFIER)
    (entry,) = list_models(tmp_path, allow_seeded=False).entries
    model = load_version(entry.versions[0], threads=1, providers=(AZURE, CPU))
    assert model.session.provider == "cpu"
    (note,) = model.notes
    assert note.startswith("not on azure: ")
    assert "float: golden output probabilities differs" in note


def test_wrong_answers_of_the_last_provider_refuse_the_version(tmp_path: Path) -> None:
    directory = write_artifact(tmp_path, CLASSIFIER)
    (entry,) = list_models(tmp_path, allow_seeded=False).entries
    golden = read_golden(directory, entry.versions[0].manifest)
    rewrite_golden(
        directory,
        {
            **{f"input/{name}": array for name, array in golden.inputs.items()},
            **{f"output/{name}": np.roll(array, 1) for name, array in golden.outputs.items()},
        },
    )
    (entry,) = list_models(tmp_path, allow_seeded=False).entries
    with pytest.raises(ArtifactError, match="golden output probabilities differs"):
        load_version(entry.versions[0], threads=1, providers=(AZURE, CPU))


def test_the_log_and_the_descriptions_name_the_provider(tmp_path: Path) -> None:
    write_artifact(tmp_path, CLASSIFIER)
    settings = Settings(artifacts=tmp_path, providers=("cuda", "openvino"), disable_gpu=True)
    with running(settings) as client:
        model = client.get(f"/v1/models/{MODEL}").json()
        health = client.get("/health").json()
    assert model["provider"] == health["models"][MODEL]["provider"] == "cpu"
    assert model["warnings"] == []  # the provider is absent for all models: the log says it once
    lines = list[str]()
    repository = open_repository(settings, lines.append)
    repository.start().result()
    assert lines[0] == "provider cuda is skipped: it runs on a GPU, and DISABLE_GPU is set"
    assert lines[1].startswith("provider openvino is skipped: onnxruntime ")
    assert f"{MODEL}/1 float on cpu" in lines
