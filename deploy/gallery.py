"""`python -m deploy.gallery MEDIA...`: write a page with pictures of the answers of every task.

    python -m deploy.gallery MEDIA... [--artifacts artifacts] [--out gallery] [--most 4]

Takes files and folders of images, sounds and clips, runs every task whose models are among the
artifacts as the command line does, and writes OUT/index.html with a drawing of each answer.
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

TITLE = "Answers of the tasks"
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
class Figure:
    """The answer to one file."""

    source: Path
    text: str  # the answer, or the error if the file was refused
    picture: str  # file name in the folder of the page; "" if there is none


@dataclass(frozen=True, slots=True)
class Section:
    """The answers of one task."""

    task: str
    figures: tuple[Figure, ...]
    problem: str  # why the task was not run; "" if it was


def spread(files: Sequence[Path], most: int) -> list[Path]:
    """Return at most `most` files, evenly spread from the first to the last."""
    if len(files) <= most:
        return list(files)
    return [files[i * (len(files) - 1) // max(1, most - 1)] for i in range(most)]


def run_tasks(media: Sequence[str], artifacts: Path, out: Path, most: int) -> Iterator[Section]:
    """Yield the answers of each task, and write their pictures to `out`.

    Args:
        media: folders, files or patterns.
        artifacts: directory with the models.
        out: folder of the page.
        most: number of files of each of `media` that a task is run on.
    """
    with IsolatedDecoders() as decoders:
        bounds = Bounds(decoders=decoders)
        for task, suffixes in SUFFIXES.items():
            files = [path for pattern in media for path in spread(_files(pattern, suffixes), most)]
            if len(files) < (2 if task == "similarity" else 1):
                yield Section(task, (), "too few files of its kind were found")
                continue
            try:
                command, rest = _open_command(task, files, artifacts, bounds)
            except (SlipwayError, OSError) as error:
                yield Section(task, (), error_reason(error))
                continue
            figures = [_figure(task, n, path, command, out) for n, path in enumerate(rest)]
            yield Section(task, tuple(figures), "")


def _files(pattern: str, suffixes: frozenset[str]) -> list[Path]:
    paths = [path for path in expand([pattern], suffixes) if isinstance(path, Path)]
    # `expand` filters folders; a file that is named itself may have any suffix
    return [path for path in paths if path.suffix.lower() in suffixes]


def _open_command(
    task: str, files: Sequence[Path], artifacts: Path, bounds: Bounds
) -> tuple[ReadyCommand, Sequence[Path]]:
    """Return the command of a task with its models loaded, and the files to run it on."""
    arguments = [task, "--artifacts", str(artifacts), *OPTIONS.get(task, ())]
    if task == "similarity":  # compares the first file with each of the others
        arguments.append(str(files[0]))
        files = files[1:]
    options = parser().parse_args([*arguments, "any"])
    return options.command.prepare(options, bounds), files


def _figure(task: str, number: int, path: Path, command: ReadyCommand, out: Path) -> Figure:
    """Run a task on one file and write the picture of its answer."""
    print(f"gallery: {task} {path}", file=sys.stderr, flush=True)
    try:
        answer = command.answer(path)
        source = answer.provenance
        by = f"by {source.model}/{source.version}, weights: {source.weights_origin}"
        text = "\n".join([*answer.lines, *answer.warnings, by])
        if answer.picture is None:
            return Figure(path, text, "")
        name = f"{task}-{number:02d}.png"
        (out / name).write_bytes(encode_picture(answer.picture()))
    except (SlipwayError, OSError, ArithmeticError, MemoryError) as error:
        return Figure(path, error_reason(error, subject=str(path)), "")
    return Figure(path, text, name)


def render_page(sections: Sequence[Section]) -> str:
    """Return the page as HTML; it loads its pictures and nothing else."""
    lines = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{TITLE}</title><style>{_STYLE}</style></head>",
        f"<body><h1>{TITLE}</h1>",
        *(line for section in sections for line in _section_lines(section)),
        "</body></html>",
    ]
    return "\n".join([*lines, ""])


def _section_lines(section: Section) -> Iterator[str]:
    yield f"<h2>{section.task}</h2>"
    if section.problem:
        yield f'<p class="refused">{html.escape(section.problem)}</p>'
    yield '<div class="answers">'
    for figure in section.figures:
        name = figure.picture
        link = f'<a href="{name}"><img src="{name}" alt="" loading="lazy"></a>' if name else ""
        kind = "" if name else ' class="refused"'
        caption = f"<b>{html.escape(str(figure.source))}</b>\n{html.escape(figure.text)}"
        yield f"<figure>{link}<figcaption{kind}>{caption}</figcaption></figure>"
    yield "</div>"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0 if at least one answer has a picture, else 1."""
    options = _parser().parse_args(arguments)
    out: Path = options.out
    tune_allocator()
    try:
        out.mkdir(parents=True, exist_ok=True)
        sections = tuple(run_tasks(options.media, options.artifacts, out, options.most))
        (out / "index.html").write_text(render_page(sections), encoding="utf-8")
    except OSError as error:
        print(f"gallery: {out}: {error.strerror}", file=sys.stderr)
        return 1
    print(out / "index.html")
    return 0 if any(figure.picture for s in sections for figure in s.figures) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m deploy.gallery",
        description="Write a page with pictures of the answers of every task to your files.",
    )
    add = parser.add_argument
    add("media", nargs="+", metavar="MEDIA", help="folders, files or quoted patterns")
    add("--artifacts", type=Path, default=Path("artifacts"), metavar="DIR", help="models to use")
    add("--out", type=Path, default=Path("gallery"), metavar="DIR", help="where to write the page")
    add("--most", type=int, default=4, metavar="N", help="files of each folder for a task")
    return parser


if __name__ == "__main__":
    sys.exit(main())
