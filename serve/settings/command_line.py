"""Read the settings from the flags of the command line, which override the environment."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from serve.settings.kinds import FLAG, SWITCH
from serve.settings.table import TABLE, default_text


@dataclass(frozen=True, slots=True)
class CommandLine:
    """The arguments of `python -m serve`."""

    overrides: Mapping[str, str]  # by variable
    check: bool = False  # check whether the server would serve, in place of serving


def parse_arguments(arguments: Sequence[str] | None, command_help: str = "") -> CommandLine:
    """Parse the arguments; None for those of the process. A wrong flag ends it with exit code 2.

    Args:
        arguments: of the command line.
        command_help: lines of --help about other commands.
    """
    parser = argparse.ArgumentParser(
        prog="python -m serve",
        description="Serve the models of a directory over HTTP.",
        epilog=f"Each flag overrides its variable in the environment.\n\n{command_help}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="check settings, port, artifacts and memory, print a list, and end with 0 or 1",
    )
    groups = {setting.group: parser.add_argument_group(setting.group) for setting in TABLE.values()}
    for name, setting in TABLE.items():
        text = setting.help.replace("`", "").replace("%", "%%")
        details = f"{setting.variable}, default {default_text(name)}"
        groups[setting.group].add_argument(
            *filter(None, (setting.flag, setting.alias)),
            dest=setting.variable,
            metavar=setting.kind.metavar,
            nargs="?" if setting.kind in (FLAG, SWITCH) else None,
            const="1" if setting.kind in (FLAG, SWITCH) else None,
            help=f"{text} ({details})",
        )
    options = vars(parser.parse_args(arguments))
    check = options.pop("check")
    return CommandLine({name: text for name, text in options.items() if text is not None}, check)
