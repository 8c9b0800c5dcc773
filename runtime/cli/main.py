"""`python -m runtime COMMAND FILE...`: run a task on files and print the answers."""

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path

from runtime.cli.answer_files import answer_files
from runtime.cli.command import Command
from runtime.cli.commands import background, face_emotion, gait, run, similarity, voice_emotion
from runtime.cli.files import error_reason
from runtime.cli.pipes import until_closed
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
INTERRUPTED = 130  # the exit code that shells give SIGINT


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit code: 0; 1 if a file, option or artifact was refused.
    """
    return until_closed(lambda: _run(arguments))


def _run(arguments: Sequence[str] | None) -> int:
    options = parser().parse_args(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # a terminal's encoding may lack letters of file names and classes
        sys.stdout.reconfigure(errors="backslashreplace")
    tune_allocator()
    try:
        # a decoder process starts with the first file that needs one
        with IsolatedDecoders() as decoders:
            command = options.command.prepare(options, Bounds(decoders=decoders))
            return answer_files(command, options)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        raise  # of standard output: `until_closed` ends the command
    except (SlipwayError, OSError) as error:
        print(f"runtime: {error_reason(error)}", file=sys.stderr)
        return 1


def parser() -> argparse.ArgumentParser:
    """Build the parser of all commands; `command` of the parsed options is the Command."""
    parser = argparse.ArgumentParser(
        prog="python -m runtime",
        description="Run a task on images, sounds, clips or texts, with models from an artifacts "
        "directory. 'python -m runtime COMMAND --help' lists the options of a command.",
    )
    commands = parser.add_subparsers(dest="name", metavar="COMMAND", required=True)
    for command in COMMANDS:
        subparser = commands.add_parser(
            command.name, help=command.summary, description=command.summary
        )
        command.add_options(subparser)
        _add_common_options(subparser)
        subparser.set_defaults(command=command)
    return parser


def _add_common_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "files",
        nargs="+",
        metavar="FILE",
        help="file to process; of a folder, all matching files below it; quote patterns such as "
        "'clips/**/*.mp4'",
    )
    add(
        "--json",
        action="store_true",
        help="print one JSON object per file, on one line, instead of text; errors too",
    )
    add(
        "--draw",
        type=Path,
        metavar="OUT.png",
        help="also draw each answer to this PNG file; with several files, to PNG files in this "
        "folder",
    )
