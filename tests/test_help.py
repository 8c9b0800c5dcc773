"""Every option of every command has help."""

import argparse
import runpy
import signal
import sys
import warnings
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

COMMANDS = (
    *("convert", "convert.gait.train"),
    *("runtime", "serve", "benchmarks", "benchmarks.page", "benchmarks.pricing"),
    *("benchmarks.originals", "benchmarks.scaling"),
    *("benchmarks.regression", "benchmarks.regression.proof"),
    *("deploy.check", "deploy.demo", "deploy.gallery", "deploy.ray"),
)


class ParserError(Exception):
    """Carries the parser of a command that was about to parse its arguments."""

    def __init__(self, parser: argparse.ArgumentParser) -> None:
        super().__init__()
        self.parser = parser


def parser_of(command: str, monkeypatch: pytest.MonkeyPatch) -> argparse.ArgumentParser:
    """Run `python -m COMMAND` up to its parser."""

    def stop(parser: argparse.ArgumentParser, *_: object) -> None:
        raise ParserError(parser)

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    monkeypatch.setattr(sys, "argv", [command])
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # those of the tests stay
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # another test has imported the module
        try:
            runpy.run_module(command, run_name="__main__")
        except ParserError as stopped:
            return stopped.parser
    pytest.fail(f"{command} parses no arguments")


def without_help(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Return the options and commands of a parser, and of its commands, that have no help."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helped = {choice.dest for choice in action._choices_actions if choice.help}
            for name, command in action.choices.items():
                yield from () if name in helped else (f"{parser.prog} {name}",)
                yield from without_help(command)
        elif not action.help:
            yield f"{parser.prog} {'/'.join(action.option_strings) or action.dest}"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_help(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if command.startswith("convert.") and find_spec("torch") is None:
        pytest.skip(f"{command} needs the conversion environment")
    assert list(without_help(parser_of(command, monkeypatch))) == []


def test_missing_help_is_found() -> None:
    parser = argparse.ArgumentParser(prog="prog")
    command = parser.add_subparsers().add_parser("run")
    command.add_argument("--out")
    command.add_argument("--in", help="input file")
    assert list(without_help(parser)) == ["prog run", "prog run --out"]
