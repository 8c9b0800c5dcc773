"""From what is typed to files, and where pictures go."""

from pathlib import Path

import pytest

from runtime.cli import files
from runtime.cli.files import Missing, Targets, expand, read_file
from runtime.errors import InputError, TooLargeError
from runtime.media.suffixes import IMAGES


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("b.png", "a.JPG", "notes.txt", ".hidden.png", "sub/c.webp", ".git/d.png"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(*typed: str) -> list[str]:
    return [
        entry.typed if isinstance(entry, Missing) else str(entry) for entry in expand(typed, IMAGES)
    ]


def test_a_folder_is_all_files_of_the_kind_below_it_sorted(folder: Path) -> None:
    assert names(".") == ["a.JPG", "b.png", "sub/c.webp"]
    assert names(str(folder / "sub")) == [str(folder / "sub" / "c.webp")]


def test_patterns_are_sorted_and_go_below_with_two_stars(folder: Path) -> None:
    assert names("*") == ["a.JPG", "b.png", "sub/c.webp"]
    assert names("*.png") == ["b.png"]
    assert names("**/*.webp") == ["sub/c.webp"]
    assert names("**") == ["a.JPG", "b.png", "sub/c.webp"]


def test_what_is_typed_is_taken_whatever_its_name_and_each_once(folder: Path) -> None:
    assert names("notes.txt", ".hidden.png", "b.png", ".", "./b.png", str(folder / "b.png")) == [
        "notes.txt", ".hidden.png", "b.png", "a.JPG", "sub/c.webp",
    ]  # fmt: skip


def test_a_file_with_a_pattern_in_its_name_is_that_file(folder: Path) -> None:
    (folder / "[1].png").write_bytes(b"x")
    assert names("[1].png") == ["[1].png"]


def test_nothing_found_is_told_of_the_folder_or_pattern(folder: Path) -> None:
    (folder / "empty").mkdir()
    (first, second) = expand(["empty", "*.avi"], IMAGES)
    assert isinstance(first, Missing)
    assert first.reason.startswith("holds no file of .bmp, .dib, .gif, .jfif, .jpe, .jpeg, .jpg")
    assert isinstance(second, Missing)
    assert second.reason.startswith("matches no file of ")


def test_a_folder_that_leads_to_itself_ends(folder: Path) -> None:
    (folder / "sub" / "again").symlink_to(folder)
    assert names(".") == ["a.JPG", "b.png", "sub/c.webp"]


def test_a_file_that_is_too_large_is_not_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 10)
    (folder / "large").write_bytes(b"x" * 11)
    with pytest.raises(TooLargeError, match="the file has 11 bytes; allowed: 10"):
        read_file(folder / "large")
    # what has no size of its own ends too
    with pytest.raises(TooLargeError, match="more bytes than are allowed: 10"):
        read_file(Path("/dev/zero"))


def test_pictures_of_several_files_have_names_of_their_own(tmp_path: Path) -> None:
    targets = Targets("--draw", tmp_path / "out", ".png")
    targets.check(4)
    made = [targets.path_for(Path(name)) for name in ("a.jpg", "b/a.png", "A.gif", "c.jpg")]
    assert [path.name for path in made] == ["a.png", "a-2.png", "A-3.png", "c.png"]
    assert (tmp_path / "out").is_dir()


def test_one_file_takes_one_picture(tmp_path: Path) -> None:
    targets = Targets("--draw", tmp_path / "new" / "x.png", ".png")
    targets.check(1)
    assert targets.path_for(Path("a.jpg")) == tmp_path / "new" / "x.png"
    with pytest.raises(InputError, match=r"--draw .*x.png is one file for 3; allowed: a folder"):
        targets.check(3)


def test_a_name_of_another_kind_is_refused_and_makes_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"allowed: a name that ends in \.png, or a folder"):
        Targets("--draw", tmp_path / "x.jpg", ".png").check(1)
    assert not (tmp_path / "x.jpg").exists()
