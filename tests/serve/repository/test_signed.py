"""A server that serves signed versions alone."""

import subprocess
import sys
from pathlib import Path

import pytest

from runtime.artifact.signature import TrustedKeys
from runtime.errors import ArtifactError, UnavailableError
from serve.repository.load_version import load_version
from serve.repository.models import ModelRepository
from serve.repository.opening import open_repository
from serve.repository.reload import Reloader
from serve.repository.scan import list_models
from serve.settings import Settings
from serve.settings.kinds import PUBLIC_KEYS
from tests.support.artifacts import CLASSIFIER, EMBEDDING, edit_manifest, write_artifact
from tests.support.server_process import PROJECT
from tests.support.signing import OTHER, TRUSTED, public, sign

KEYS = (public(TRUSTED),)


def opened(root: Path, lines: list[str] | None = None) -> ModelRepository:
    settings = Settings(artifacts=root, trusted_keys=KEYS)
    repository = open_repository(settings, (lines if lines is not None else []).append)
    repository.start().result()
    return repository


def test_only_signed_versions_are_served(tmp_path: Path) -> None:
    signed = sign(write_artifact(tmp_path, CLASSIFIER))
    write_artifact(tmp_path, CLASSIFIER, version=2)
    sign(write_artifact(tmp_path, CLASSIFIER, version=3), OTHER)
    wrong = sign(write_artifact(tmp_path, EMBEDDING))
    edit_manifest(wrong, {"calibration": "changed"})
    repository = opened(tmp_path)
    model_id, other_id = signed.parent.name, wrong.parent.name
    assert repository[model_id].manifest.version == 1
    refused = repository.status(model_id).refused
    assert "is not signed" in refused[2]
    assert "which is not trusted" in refused[3]
    with pytest.raises(UnavailableError, match="one of them was changed"):
        repository[other_id]
    repository.close()


def test_a_version_that_is_added_while_it_serves_has_to_be_signed(tmp_path: Path) -> None:
    model_id = sign(write_artifact(tmp_path, CLASSIFIER)).parent.name
    repository = opened(tmp_path)
    reloader = Reloader(repository, tmp_path, allow_seeded=False, trusted=TrustedKeys(KEYS))
    second = write_artifact(tmp_path, CLASSIFIER, version=2)
    reloader.reload().result()
    assert repository[model_id].manifest.version == 1
    assert "is not signed" in repository.status(model_id).refused[2]
    sign(second)
    reloader.reload().result()
    assert repository[model_id].manifest.version == 2
    repository.close()


def test_a_version_is_checked_again_when_it_loads(tmp_path: Path) -> None:
    directory = sign(write_artifact(tmp_path, CLASSIFIER))
    trusted = TrustedKeys(KEYS)
    (entry,) = list_models(tmp_path, allow_seeded=False, trusted=trusted).entries
    edit_manifest(directory, {"calibration": "changed"})
    with pytest.raises(ArtifactError, match="one of them was changed"):
        load_version(entry.versions[0], threads=1, trusted=trusted)
    (later,) = list_models(tmp_path, allow_seeded=False, trusted=trusted).entries
    assert not later.versions
    assert "one of them was changed" in later.refused[1]
    edit_manifest(directory, {"digest": "f" * 64})
    sign(directory)  # as one that takes the place of another
    with pytest.raises(ArtifactError, match="another version than when the directory was read"):
        load_version(entry.versions[0], threads=1, trusted=trusted)


def test_the_server_does_not_import_the_library_without_the_setting() -> None:
    code = (
        "import sys, serve.lifecycle.command; sys.exit(any('nacl' in name for name in sys.modules))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=True)


def test_the_setting() -> None:
    text = PUBLIC_KEYS.format(KEYS)
    assert PUBLIC_KEYS.parse(text) == KEYS
    assert PUBLIC_KEYS.parse("nonsense") is None
