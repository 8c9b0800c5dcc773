"""The settings of the server: one table, read from the environment and from the command line.

A new setting is one field of `serve.settings.table.Settings`; its variable, flag, parser and help
are beside it. `--help`, the environment and serve/API.md follow from the table.
"""

from serve.settings.environment import from_environment as from_environment
from serve.settings.kinds import SettingsError as SettingsError
from serve.settings.table import Settings as Settings
