"""The models of an artifacts directory: loaded at first use, with a caution where it is due."""

from pathlib import Path

import pytest

from runtime.cli.main import main
from runtime.cli.model_repository import ModelRepository
from runtime.errors import ArtifactError
from tests.runtime.support.command_line import command_line
from tests.support.artifacts import CLASSIFIER, SEGMENTATION, VOICE, write_artifact


def test_the_caution_comes_once_and_models_not_needed_are_not_loaded(
    tmp_path: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_artifact(tmp_path, CLASSIFIER, origin="seeded")
    broken = write_artifact(tmp_path, SEGMENTATION)
    (broken / "float.onnx").write_bytes(b"not a graph")
    (images / "2.png").unlink()
    assert main(command_line(tmp_path, "face-emotion", images)) == 0
    caution = "runtime: face_emotion_xception has seeded weights: its answers mean nothing\n"
    assert capsys.readouterr().err == caution


def test_an_absent_model_is_an_error_that_lists_the_others(tmp_path: Path) -> None:
    write_artifact(tmp_path, VOICE)
    repository = ModelRepository(tmp_path)
    assert "gait_student" not in repository
    assert repository.get("gait_student") is None
    with pytest.raises(
        ArtifactError, match="has no gait_student: it holds voice_emotion_wav2vec2; make it: "
    ):
        repository.find("gait_student")
    with pytest.raises(ArtifactError, match="has no gait_student: it holds no model; make it: "):
        ModelRepository(tmp_path / "none").find("gait_student")


def test_models_of_a_task_are_found_by_their_manifest(artifacts: Path) -> None:
    repository = ModelRepository(artifacts)
    ids = [model.spec.id for model in repository.of_task("sentence-similarity")]
    assert ids == ["clinical_text_minilm"]
    assert len(repository) == len(list(repository)) == 7
