"""`python -m deploy.gallery MEDIA...`: a page of pictures of what the tasks answer, to look at.

    python -m deploy.gallery MEDIA... [--artifacts artifacts] [--out gallery] [--most 4]

Goes through folders of images, sounds and clips, asks every task whose models are there as the
command line does, and writes OUT/index.html with a drawing of each answer beside it.
"""

import argparse
import html
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.cli.command import ReadyCommand
from runtime.cli.files import error_reason, expand
from runtime.cli.main import parser
from runtime.draw import encode_picture
from runtime.engine.allocator import tune_allocator
from runtime.errors import SlipwayError
from runtime.media.isolation.pool import IsolatedDecoders
from runtime.media.suffixes import CLIPS, IMAGES, SOUNDS
from runtime.predict.prepare import Bounds

TITLE = "What the tasks answer"
SUFFIXES: Mapping[str, frozenset[str]] = {
    "face-emotion": IMAGES,
    "background": IMAGES,
    "similarity": IMAGES,
    "voice-emotion": SOUNDS,
    "gait": CLIPS,
}
OPTIONS: Mapping[str, Sequence[str]] = {"face-emotion": ("--faces", "all")}
_STYLE = """
  body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem;
         padding: 0 1rem; color: #1f2328; background: #fff; }
  .answers { display: grid; grid-template-columns: repeat(auto-fill, minmax(22rem, 1fr));
             gap: 1.5rem; }
  figure { margin: 0; } img { width: 100%; border: 1px solid #d0d7de; }
  figcaption { font-size: 14px; overflow-wrap: anywhere; white-space: pre-line; }
  .refused { color: #9a3412; }
"""


@dataclass(frozen=True, slots=True)
class Shown:
    """One answer on the page."""

    source: Path
    text: str
    picture: str  # name of the file beside the page; "" where it was refused


@dataclass(frozen=True, slots=True)
class Section:
    """What one task answered."""

    task: str
    shown: tuple[Shown, ...]
    problem: str  # why it was not asked; "" where it was


def chosen(files: Sequence[Path], most: int) -> list[Path]:
    """At most so many, spread over all of them."""
    if len(files) <= most:
        return list(files)
    return [files[i * (len(files) - 1) // max(1, most - 1)] for i in range(most)]


def sections(media: Sequence[str], artifacts: Path, out: Path, most: int) -> Iterator[Section]:
    """Ask each task of at most so many files below each of `media`; the pictures go into `out`."""
    with IsolatedDecoders() as decoders:
        bounds = Bounds(decoders=decoders)
        for task, suffixes in SUFFIXES.items():
            files = [path for each in media for path in chosen(_files(each, suffixes), most)]
            if len(files) < (2 if task == "similarity" else 1):
                yield Section(task, (), "too few files of its kind were found")
                continue
            try:
                opened, rest = _opened(task, files, artifacts, bounds)
            except (SlipwayError, OSError) as error:
                yield Section(task, (), error_reason(error))
                continue
            shown = (_shown(task, number, path, opened, out) for number, path in enumerate(rest))
            yield Section(task, tuple(shown), "")


def _files(typed: str, suffixes: frozenset[str]) -> list[Path]:
    found = [each for each in expand([typed], suffixes) if isinstance(each, Path)]
    return [path for path in found if path.suffix.lower() in suffixes]  # also of files by name


def _opened(
    task: str, files: Sequence[Path], artifacts: Path, bounds: Bounds
) -> tuple[ReadyCommand, Sequence[Path]]:
    """A command that is ready, and the files that it is to be asked for."""
    arguments = [task, "--artifacts", str(artifacts), *OPTIONS.get(task, ())]
    if task == "similarity":  # the first with each of the others
        arguments.append(str(files[0]))
        files = files[1:]
    given = parser().parse_args([*arguments, "any"])
    return given.command.open(given, bounds), files


def _shown(task: str, number: int, path: Path, opened: ReadyCommand, out: Path) -> Shown:
    print(f"gallery: {task} {path}", file=sys.stderr, flush=True)
    try:
        answer = opened.ask(path)
        source = answer.provenance
        by = f"by {source.model}/{source.version}, weights: {source.weights}"
        text = "\n".join([*answer.lines, *answer.warnings, by])
        if answer.picture is None:
            return Shown(path, text, "")
        name = f"{task}-{number:02d}.png"
        (out / name).write_bytes(encode_picture(answer.picture()))
    except (SlipwayError, OSError, ArithmeticError, MemoryError) as error:
        return Shown(path, error_reason(error, beside=str(path)), "")
    return Shown(path, text, name)


def page(found: Sequence[Section]) -> str:
    """The page as HTML, with nothing from elsewhere."""
    lines = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{TITLE}</title><style>{_STYLE}</style></head>",
        f"<body><h1>{TITLE}</h1>",
        *(line for section in found for line in _section(section)),
        "</body></html>",
    ]
    return "\n".join([*lines, ""])


def _section(section: Section) -> Iterator[str]:
    yield f"<h2>{section.task}</h2>"
    if section.problem:
        yield f'<p class="refused">{html.escape(section.problem)}</p>'
    yield '<div class="answers">'
    for shown in section.shown:
        link = f'<a href="{shown.picture}"><img src="{shown.picture}" alt="" loading="lazy"></a>'
        image, kind = (link, "") if shown.picture else ("", ' class="refused"')
        caption = f"<b>{html.escape(str(shown.source))}</b>\n{html.escape(shown.text)}"
        yield f"<figure>{image}<figcaption{kind}>{caption}</figcaption></figure>"
    yield "</div>"


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; gives the exit code."""
    options = argparse.ArgumentParser(prog="python -m deploy.gallery", description=__doc__)
    add = options.add_argument
    add("media", nargs="+", metavar="MEDIA", help="folders, files or quoted patterns")
    add("--artifacts", type=Path, default=Path("artifacts"), metavar="DIR", help="models to use")
    add("--out", type=Path, default=Path("gallery"), metavar="DIR", help="where to write the page")
    add("--most", type=int, default=4, metavar="N", help="files of each folder for a task")
    given = options.parse_args(arguments)
    tune_allocator()
    try:
        given.out.mkdir(parents=True, exist_ok=True)
        found = tuple(sections(given.media, given.artifacts, given.out, given.most))
        (given.out / "index.html").write_text(page(found), encoding="utf-8")
    except OSError as error:
        print(f"gallery: {given.out}: {error.strerror}", file=sys.stderr)
        return 1
    print(given.out / "index.html")
    return 0 if any(shown.picture for section in found for shown in section.shown) else 1


if __name__ == "__main__":
    sys.exit(main())
