"""`python -m runtime COMMAND FILE...`: what models say of files, for people or as JSON lines."""

import argparse
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from runtime.cli.command import Command
from runtime.cli.commands import background, face_emotion, gait, run, similarity, voice_emotion
from runtime.cli.files import error_reason
from runtime.cli.loop import answer_all
from runtime.engine.allocator import tune_allocator
from runtime.errors import SlipwayError
from runtime.media.isolation.pool import IsolatedDecoders
from runtime.predict.prepare import Bounds

COMMANDS: tuple[Command, ...] = (
    face_emotion.COMMAND,
    voice_emotion.COMMAND,
    gait.COMMAND,
    similarity.COMMAND,
    background.COMMAND,
    run.COMMAND,
)
BROKEN_PIPE, INTERRUPTED = 141, 130  # as shells report the signals


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0; 1 where any file, option or artifact was refused.
    """
    options = parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # names of files and classes, where a terminal's encoding lacks their letters
        sys.stdout.reconfigure(errors="backslashreplace")
    tune_allocator()
    try:
        # processes for decoders start where a file needs one
        with IsolatedDecoders() as decoders:
            opened = options.command.open(options, Bounds(decoders=decoders))
            return answer_all(opened, options)
    except BrokenPipeError:
        # whoever read has read enough; Python would complain once more while it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return INTERRUPTED
    except (SlipwayError, OSError) as error:
        print(f"runtime: {error_reason(error)}", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    """Of every command; what it gives has the command itself as `command`."""
    parser = argparse.ArgumentParser(
        prog="python -m runtime", description="What the models say of files."
    )
    commands = parser.add_subparsers(dest="name", metavar="COMMAND", required=True)
    for command in COMMANDS:
        added = commands.add_parser(command.name, help=command.summary, description=command.summary)
        command.declare(added)
        _declare_common(added)
        added.set_defaults(command=command)
    return parser


def _declare_common(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "files",
        nargs="+",
        metavar="FILE",
        help="a file, a folder with all below it, or a quoted pattern as 'clips/**/*.mp4'",
    )
    add("--json", action="store_true", help="one JSON object a line for each file, in full")
    add(
        "--draw",
        type=Path,
        metavar="OUT.png",
        help="draw each answer: a PNG file, or a folder where there are several files",
    )
