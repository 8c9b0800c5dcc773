"""Command line of the converter: `python -m convert run` and what goes before and after it."""

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from convert.commands.arguments import add_commands

NEEDED = ("onnx", "onnxruntime", "torch", "tensorflow", "tf2onnx")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; gives the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return COMMANDS[options.command](options)
    except KeyboardInterrupt:
        print("convert: interrupted; nothing half-written was left", file=sys.stderr)
        return 130


def _list(_: argparse.Namespace) -> int:
    from convert.commands.list_models import lines

    try:
        for line in lines():
            print(line)
    except Exception as error:  # RecipeError; naming it here would import all of the runtime
        print(f"convert: {error}", file=sys.stderr)
        return 1
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from convert.commands.doctor import examine

    return examine(options)


def _verify(options: argparse.Namespace) -> int:
    from convert.commands.verify.command import verify

    return verify(options)


def _saturation(options: argparse.Namespace) -> int:
    if find_spec("onnx") is None:
        print("convert: saturation reads graphs, and onnx is not installed here", file=sys.stderr)
        return 1
    from convert.commands.saturation import saturation

    return saturation(options)


def _evaluate(options: argparse.Namespace) -> int:
    from convert.commands.evaluate.command import evaluate

    return evaluate(options)


def _run(options: argparse.Namespace) -> int:
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        print(
            f"convert: {', '.join(missing)} not installed here. Conversion has an environment of "
            "its own: `make .venv-convert/.installed`, then `.venv-convert/bin/python -m convert` "
            "(Linux on x86-64, Python 3.11 to 3.13)",
            file=sys.stderr,
        )
        return 1
    from convert.commands.run import run_models
    from runtime.errors import SlipwayError

    try:
        return run_models(options)
    except SlipwayError as error:
        print(f"convert: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m convert", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    own = "A model of your own is one recipe file: convert/README.md."
    commands.add_parser("list", help="the models with a recipe", epilog=own)
    add_commands(commands)
    run = commands.add_parser("run", help="convert models to verified ONNX artifacts")
    doctor = commands.add_parser("doctor", help="say what is missing before a long run")
    for command in (run, doctor):  # the same question, asked before
        _add_arguments(command)
    return parser


def _add_arguments(run: argparse.ArgumentParser) -> None:
    run.add_argument("models", nargs="*", metavar="MODEL", help="ids; none: every known model")
    run.add_argument("--recipe", type=Path, help="a file of your own: convert/README.md")
    run.add_argument(
        "--checkpoint",
        type=Path,
        metavar="PATH",
        help="weights of the one model named: a file, a folder, or hf:owner/name[@revision]",
    )
    run.add_argument("--labels", type=Path, metavar="FILE", help="class names, one a line, or JSON")
    run.add_argument("--weights", choices=("pretrained", "seeded", "auto"), default="pretrained")
    run.add_argument(
        "--calibration",
        type=Path,
        metavar="DIR",
        help="media like those to be served, as its task takes them",
    )
    run.add_argument(
        "--pairs",
        type=Path,
        metavar="PATH",
        help="judged pairs for the score of similarity: a CSV of image_a,image_b,kind (identical, "
        "similar or different), or a folder KIND/PAIR/ of two images each",
    )
    run.add_argument("--precision", choices=("auto", "int8", "float"), default="auto")
    run.add_argument(
        "--search",
        choices=("default", "thorough"),
        default="default",
        help="for what becomes integer: 30 graphs and a minute at most, or 300 and an hour",
    )
    run.add_argument("--out", type=Path, default=Path("artifacts"), metavar="DIR")


COMMANDS = {
    "list": _list,
    "run": _run,
    "doctor": _doctor,
    "evaluate": _evaluate,
    "verify": _verify,
    "saturation": _saturation,
}


if __name__ == "__main__":
    sys.exit(main())
