from pathlib import Path

import serve.commands
from serve.commands.table import COMMANDS, command_help, find_command


def test_the_table_lists_every_module_of_the_folder() -> None:
    modules = {path.stem for path in Path(serve.commands.__file__).parent.glob("*.py")}
    assert set(COMMANDS) == modules - {"__init__", "table"}
    assert all(callable(find_command([name])) for name in COMMANDS)


def test_flags_are_no_command() -> None:
    assert find_command([]) is None
    assert find_command(["--port", "0"]) is None


def test_help_names_every_command() -> None:
    assert all(f"  {name} " in command_help() for name in COMMANDS)
