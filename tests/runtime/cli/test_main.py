"""The commands and their options."""

import argparse
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.cli.main import COMMANDS, main, parser
from tests.runtime.support.command_line import command_line


def options_of_all_commands() -> Iterator[tuple[str, argparse.Action]]:
    (commands,) = (a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    for name, subparser in commands.choices.items():
        for action in subparser._actions:
            yield name, action


def test_every_option_with_a_value_states_its_default() -> None:
    options = list(options_of_all_commands())
    assert {name for name, _ in options} == {command.name for command in COMMANDS}
    without_default = [
        (name, action.dest)
        for name, action in options
        if action.option_strings
        and action.nargs != 0
        and action.dest not in ("draw", "out", "behind")  # nothing is written or composed
        and "default" not in str(action.help)
    ]
    assert without_default == []


def test_a_model_for_another_task_is_refused_before_any_file(
    artifacts: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("gait", "voice-emotion"):
        arguments = command_line(artifacts, command, images, "--model", "clinical_text_minilm")
        assert main(arguments) == 1
        (error,) = capsys.readouterr().err.splitlines()
        assert "clinical_text_minilm is for sentence-similarity; allowed: " in error
