"""Command line of the converter: convert, check and move artifacts."""

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from convert.commands.arguments import parser
from runtime.cli.pipes import until_closed

NEEDED = ("onnx", "onnxruntime", "torch", "tensorflow", "tf2onnx")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code. Each command imports its packages itself."""
    try:
        return until_closed(lambda: _command(arguments))
    except KeyboardInterrupt:
        print("convert: interrupted; no incomplete file is left", file=sys.stderr)
        return 130


def _command(arguments: Sequence[str] | None) -> int:
    options = parser(__doc__).parse_args(arguments)
    return COMMANDS[options.command](options)


def _list(_: argparse.Namespace) -> int:
    from convert.commands.list_models import lines

    try:
        for line in lines():
            print(line)
    except BrokenPipeError:
        raise
    except Exception as error:  # RecipeError, whose import would take longer than the list
        print(f"convert: {error}", file=sys.stderr)
        return 1
    return 0


def _doctor(options: argparse.Namespace) -> int:
    from convert.commands.doctor import examine

    return examine(options)


def _verify(options: argparse.Namespace) -> int:
    from convert.commands.verify.command import verify

    return verify(options)


def _evaluate(options: argparse.Namespace) -> int:
    from convert.commands.evaluate.command import evaluate

    return evaluate(options)


def _samples(options: argparse.Namespace) -> int:
    from convert.commands.write_samples import write_samples

    return write_samples(options)


def _sign(options: argparse.Namespace) -> int:
    from convert.commands.sign import sign

    return sign(options)


def _transport(options: argparse.Namespace) -> int:
    from convert.commands.transport import run

    return run(options)


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


COMMANDS = {
    "list": _list,
    "run": _run,
    "samples": _samples,
    "doctor": _doctor,
    "evaluate": _evaluate,
    "verify": _verify,
    "sign": _sign,
    "pack": _transport,
    "push": _transport,
    "pull": _transport,
}


if __name__ == "__main__":
    sys.exit(main())
