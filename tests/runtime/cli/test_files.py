"""Arguments to input files, and the names of output files."""

from pathlib import Path

import pytest

from runtime.cli import files
from runtime.cli.files import NoFile, OutputPaths, expand, passed_over, read_file
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


def names(*arguments: str) -> list[str]:
    return [
        entry.argument if isinstance(entry, NoFile) else str(entry)
        for entry in expand(arguments, IMAGES)
    ]


def test_a_folder_stands_for_the_images_below_it_sorted(folder: Path) -> None:
    assert names(".") == ["a.JPG", "b.png", "sub/c.webp"]
    assert names(str(folder / "sub")) == [str(folder / "sub" / "c.webp")]


def test_patterns_are_sorted_and_two_stars_descend(folder: Path) -> None:
    assert names("*") == ["a.JPG", "b.png", "sub/c.webp"]
    assert names("*.png") == ["b.png"]
    assert names("**/*.webp") == ["sub/c.webp"]
    assert names("**") == ["a.JPG", "b.png", "sub/c.webp"]


def test_named_files_keep_any_suffix_and_come_once(folder: Path) -> None:
    assert names("notes.txt", ".hidden.png", "b.png", ".", "./b.png", str(folder / "b.png")) == [
        "notes.txt", ".hidden.png", "b.png", "a.JPG", "sub/c.webp",
    ]  # fmt: skip


def test_an_existing_name_is_no_pattern(folder: Path) -> None:
    (folder / "[1].png").write_bytes(b"x")
    assert names("[1].png") == ["[1].png"]


def test_a_folder_or_pattern_without_files_has_a_reason(folder: Path) -> None:
    (folder / "empty").mkdir()
    (first, second) = expand(["empty", "*.avi"], IMAGES)
    assert isinstance(first, NoFile)
    assert first.reason.startswith(
        "holds no file of .avif, .bmp, .dib, .gif, .jfif, .jpe, .jpeg, .jpg"
    )
    assert isinstance(second, NoFile)
    assert second.reason.startswith("matches no file of ")


def test_a_folder_that_links_to_itself_ends(folder: Path) -> None:
    (folder / "sub" / "again").symlink_to(folder)
    assert names(".") == ["a.JPG", "b.png", "sub/c.webp"]


def test_a_file_over_the_limit_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_FILE_BYTES", 10)
    (folder / "large").write_bytes(b"x" * 11)
    with pytest.raises(TooLargeError, match="the file has 11 bytes; allowed: 10"):
        read_file(folder / "large")
    # a device has no size
    with pytest.raises(TooLargeError, match="more bytes than are allowed: 10"):
        read_file(Path("/dev/zero"))


def test_outputs_of_several_files_have_different_names(tmp_path: Path) -> None:
    outputs = OutputPaths("--draw", tmp_path / "out", ".png")
    outputs.check(4)
    paths = [outputs.path_for(Path(name)) for name in ("a.jpg", "b/a.png", "A.gif", "c.jpg")]
    assert [path.name for path in paths] == ["a.png", "a-2.png", "A-3.png", "c.png"]
    assert (tmp_path / "out").is_dir()


def test_one_output_file_takes_one_input(tmp_path: Path) -> None:
    outputs = OutputPaths("--draw", tmp_path / "new" / "x.png", ".png")
    outputs.check(1)
    assert outputs.path_for(Path("a.jpg")) == tmp_path / "new" / "x.png"
    with pytest.raises(InputError, match=r"--draw .*x.png is one file for 3; allowed: a folder"):
        outputs.check(3)


def test_an_output_with_another_suffix_is_refused_and_makes_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"allowed: a name that ends in \.png, or a folder"):
        OutputPaths("--draw", tmp_path / "x.jpg", ".png").check(1)
    assert not (tmp_path / "x.jpg").exists()


def test_files_that_are_passed_over_are_told_by_folder_and_pattern(tmp_path: Path) -> None:
    names = ("one.jpg", "two.HEIC", "three.txt", "sub/four.tiff", ".hidden.txt", "five.raw")
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    arguments = [str(tmp_path), str(tmp_path / "t*"), str(tmp_path / "three.txt")]
    folder, pattern = passed_over(arguments, frozenset({".jpg"}))
    assert folder.message == (
        "passed over 4 files of other suffixes: five.raw, four.tiff, three.txt, ..."
    )
    assert pattern.message == "passed over 2 files of other suffixes: three.txt, two.HEIC"
    assert passed_over([str(tmp_path / "one.jpg")], frozenset({".jpg"})) == []
    everything = frozenset({".jpg", ".heic", ".txt", ".tiff", ".raw"})
    assert passed_over(arguments, everything) == []
