from pathlib import Path

import pytest

from runtime.errors import ArtifactError
from serve.errors import NotFoundError
from serve.repository.models import find_model, load_repository
from serve.repository.task_models import TaskModel, check_task_models
from tests.support.artifacts import CLASSIFIER, EMBEDDING, edit_manifest, write_artifact


def load(root: Path, *, allow_seeded: bool = False) -> list[str]:
    return list(load_repository(root, threads=1, allow_seeded=allow_seeded))


def test_every_model_directory_is_loaded(artifacts: Path) -> None:
    assert load(artifacts) == [
        "background_u2netp",
        "face_emotion_xception",
        "image_embedding_mobilenetv2",
        "tiny_detector",
        "tiny_slow",
        "tiny_tensors",
    ]


def test_the_newest_complete_version_is_served(tmp_path: Path) -> None:
    write_artifact(tmp_path, CLASSIFIER, version=1)
    write_artifact(tmp_path, CLASSIFIER, version=2)
    (write_artifact(tmp_path, CLASSIFIER, version=10) / "manifest.json").unlink()
    repository = load_repository(tmp_path, threads=1, allow_seeded=False)
    assert repository["face_emotion_xception"].manifest.version == 2


@pytest.mark.parametrize("missing", [True, False])
def test_an_empty_directory_is_refused_with_the_command_to_run(
    tmp_path: Path, missing: bool
) -> None:
    root = tmp_path / "artifacts"
    if not missing:
        root.mkdir()
        (root / "README.md").write_text("")
    with pytest.raises(ArtifactError, match=r"artifacts .*python -m convert run"):
        load(root)


def test_a_directory_without_a_complete_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "half_written" / "1").mkdir(parents=True)
    with pytest.raises(ArtifactError, match="half_written holds no complete version"):
        load(tmp_path)


def test_a_corrupt_file_is_refused(tmp_path: Path) -> None:
    directory = write_artifact(tmp_path, CLASSIFIER)
    data = bytearray((directory / "float.onnx").read_bytes())
    data[100] ^= 1
    (directory / "float.onnx").write_bytes(data)
    with pytest.raises(ArtifactError, match=r"float\.onnx has sha256"):
        load(tmp_path)


def test_an_unknown_field_is_refused(tmp_path: Path) -> None:
    edit_manifest(write_artifact(tmp_path, CLASSIFIER), {"surprise": 1})
    with pytest.raises(ArtifactError, match=r"manifest\.json\.surprise is not a known field"):
        load(tmp_path)


def test_a_model_under_another_name_is_refused(tmp_path: Path) -> None:
    write_artifact(tmp_path, CLASSIFIER)
    (tmp_path / "face_emotion_xception").rename(tmp_path / "other")
    with pytest.raises(ArtifactError, match=r"other holds the model 'face_emotion_xception'"):
        load(tmp_path)


def test_seeded_weights_need_permission(tmp_path: Path) -> None:
    write_artifact(tmp_path, CLASSIFIER, origin="seeded")
    with pytest.raises(ArtifactError, match=r"seeded weights.*SLIPWAY_ALLOW_SEEDED=1"):
        load(tmp_path)
    assert load(tmp_path, allow_seeded=True) == ["face_emotion_xception"]


def test_an_unknown_id_is_refused_with_the_known_ids(tmp_path: Path) -> None:
    write_artifact(tmp_path, CLASSIFIER)
    write_artifact(tmp_path, EMBEDDING)
    repository = load_repository(tmp_path, threads=1, allow_seeded=False)
    assert find_model(repository, "face_emotion_xception") is repository["face_emotion_xception"]
    with pytest.raises(
        NotFoundError, match=r"'nobody' .*: face_emotion_xception, image_embedding_mobilenetv2$"
    ):
        find_model(repository, "nobody")


def test_a_task_route_needs_a_model_of_its_task(artifacts: Path) -> None:
    repository = load_repository(artifacts, threads=1, allow_seeded=False)
    variable, task = "SLIPWAY_SIMILARITY_MODEL", "image-feature-extraction"
    check_task_models(repository, (TaskModel(variable, "not_converted", "image-segmentation"),))
    check_task_models(
        repository,
        (TaskModel(variable, "image_embedding_mobilenetv2", "image-feature-extraction"),),
    )
    with pytest.raises(ArtifactError, match=rf"{variable} is 'background_u2netp'.*{task}"):
        check_task_models(
            repository, (TaskModel(variable, "background_u2netp", "image-feature-extraction"),)
        )
