"""One row of the table of settings."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from serve.settings.kinds import Kind

Group = Literal["Where and what", "Limits of a request", "Work", "Models of the task routes"]
KEY = "setting"  # in the metadata of a field


@dataclass(frozen=True, slots=True)
class Setting:
    """The variable of a setting, the kind of its value, and its help."""

    group: Group
    variable: str
    kind: Kind
    help: str  # one sentence without its full stop, with Markdown's backticks
    alias: str = ""  # a further option of the command line

    @property
    def flag(self) -> str:
        """Return the option of the command line: `--max-files` for SLIPWAY_MAX_FILES."""
        return "--" + self.variable.removeprefix("SLIPWAY_").lower().replace("_", "-")


def row(
    group: Group, variable: str, kind: Kind, text: str, *, alias: str = ""
) -> Mapping[str, Any]:
    """Return the metadata of a field; `text` is its help."""
    return {KEY: Setting(group, variable, kind, text, alias)}
