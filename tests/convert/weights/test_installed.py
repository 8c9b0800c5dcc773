"""Weights in installed packages: found and verified without an import."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from convert.errors import CheckpointError
from convert.weights.installed import find_installed, is_installed
from tests.convert.support.packages import install

FILES = {"net_of_files/config.json": b"{}", "net_of_files/deep/vocab.txt": b"a"}


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_folder_is_found_and_nothing_is_imported(packages: Path) -> None:
    source = install(packages, FILES)
    assert find_installed(source) == packages / "net_of_files"
    assert is_installed(source)
    assert "net_of_files" not in sys.modules


def test_package_that_is_not_installed(packages: Path) -> None:
    source = replace(install(packages, FILES), package="another-net")
    assert find_installed(source) is None
    assert not is_installed(source)


@pytest.mark.parametrize("name", FILES)
def test_every_file_of_a_folder_is_verified(packages: Path, name: str) -> None:
    source = install(packages, FILES)
    (packages / name).write_bytes(b"other")
    with pytest.raises(CheckpointError, match=f"{name}: sha256 .* expected; needed: that of"):
        find_installed(source)
    (packages / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name}: missing; needed: that of"):
        find_installed(source)


def test_another_version_is_used_if_its_file_is_the_same(packages: Path) -> None:
    source = replace(install(packages, {"net_of_a_file/net.h5": b"net"}), version="0.9")
    assert find_installed(source) == packages / "net_of_a_file/net.h5"
    with pytest.raises(
        CheckpointError, match=r"needed: that of net-of-a-file==0\.9, installed: 1\.2"
    ):
        find_installed(replace(source, sha256="0" * 64))
