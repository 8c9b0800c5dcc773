"""The documents keep their limits, their links lead somewhere, and the layout is as they say."""

import re
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    path.relative_to(PROJECT)
    for folder in (
        *(".", "artifacts", "benchmarks", "convert", "deploy", "deploy/kubernetes"),
        *("deploy/platforms",),
        *("runtime", "serve"),
    )
    for path in (PROJECT / folder).glob("*.md")
    if path.name != "CHANGELOG.md"
)
LINK = re.compile(r"\]\((?!https?:)([^)#]+)?(#[^)]*)?\)")
BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
LINE_LENGTH = 120
README_WORDS = 1400
ARCHITECTURE_LINES = 140
PACKAGES = ("convert", "runtime", "serve", "benchmarks", "deploy")
# files and folders at the root of a package: what a newcomer sees first
ROOTS = {"convert": (9, 14), "runtime": (7, 9), "serve": (7, 18)}
OF_TESTS_ALONE = {"support", "oracles", "troubles"}


def text(document: Path) -> str:
    return (PROJECT / document).read_text(encoding="utf-8")


def folders(package: str) -> list[str]:
    """Return the folders of a package that hold Python files, as paths from the project."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", f"{package}/*.py"],
        cwd=PROJECT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    paths = [Path(line) for line in listed.stdout.splitlines() if (PROJECT / line).is_file()]
    return sorted({str(path.parent) for path in paths})


def anchors(document: Path) -> set[str]:
    """Return the anchors of the headings of a document, as hosting sites derive them."""
    headings = re.findall(r"^#+ (.+)$", text(document), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_readme_is_for_the_first_hour() -> None:
    assert len(text(Path("README.md")).split()) <= README_WORDS


def test_architecture_names_every_folder_in_few_lines() -> None:
    architecture = text(Path("ARCHITECTURE.md"))
    assert len(architecture.splitlines()) <= ARCHITECTURE_LINES
    missing = [
        folder
        for package in PACKAGES
        for folder in folders(package)
        if f"`{folder}/`" not in architecture
    ]
    assert missing == []
    named = set(re.findall(r"^\| `([\w/]+)/` \|", architecture, re.MULTILINE))
    assert sorted(folder for folder in named if not (PROJECT / folder).is_dir()) == []


@pytest.mark.parametrize("package", ROOTS)
def test_the_root_of_a_package_shows_its_parts(package: str) -> None:
    files, most_folders = ROOTS[package]
    assert len(list((PROJECT / package).glob("*.py"))) <= files
    below = [folder for folder in folders(package) if folder.count("/") == 1]
    assert len(below) <= most_folders


@pytest.mark.parametrize("package", PACKAGES)
def test_tests_lie_in_the_folders_of_what_they_test(package: str) -> None:
    tested = set(folders(package))
    strays = [
        folder
        for folder in folders(f"tests/{package}")
        if folder.removeprefix("tests/") not in tested
        and not OF_TESTS_ALONE.intersection(Path(folder).parts)
    ]
    assert strays == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_lines_of_documents_fit_a_screen(document: Path) -> None:
    first_page = document == Path("README.md")
    # elsewhere rows of tables may be long, which Markdown cannot break, and commands
    prose = text(document) if first_page else BLOCK.sub("", text(document))
    long = [
        line
        for line in prose.splitlines()
        if len(line) > LINE_LENGTH and (first_page or not line.startswith("|"))
    ]
    assert long == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_links_lead_to_files_and_headings(document: Path) -> None:
    broken = []
    for match in LINK.finditer(text(document)):
        target, anchor = match[1], match[2]
        place = document.parent / target if target else document
        if not (PROJECT / place).exists() or (anchor and anchor[1:] not in anchors(place)):
            broken.append(match[0])
    assert broken == []
