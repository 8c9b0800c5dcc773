"""Read the settings from environment variables, once at start-up."""

import difflib
import re
from collections.abc import Mapping
from typing import Any

from runtime.transport.credentials import PASSWORD, USER
from serve.settings.kinds import SettingsError
from serve.settings.profile import FRUGAL, is_frugal
from serve.settings.table import TABLE, Settings

PREFIX = "SLIPWAY_"
# of the conversion, of the tests, and of registries
OF_OTHERS = ("SLIPWAY_OFFLINE", "SLIPWAY_TEST_DATA", "SLIPWAY_OPENVINO_PYTHON", USER, PASSWORD)
# Kubernetes sets these in every pod of a namespace with a service named "slipway"
_OF_SERVICES = re.compile(r"SLIPWAY_SERVICE_(HOST|PORT\w*)|SLIPWAY_PORT(_\d+_(TCP|UDP)\w*)?")


def from_environment(environ: Mapping[str, str]) -> Settings:
    """Return the settings; a variable that is unset or empty keeps its default.

    Raises:
        SettingsError: values are ill-formed or out of range; the message has a line for each.
    """
    values: dict[str, Any] = {}
    problems = []
    frugal = False
    try:
        frugal = is_frugal(environ)
        values.update(FRUGAL if frugal else {})
    except SettingsError as error:
        problems.append(str(error))
    for name, setting in TABLE.items():
        text = environ.get(setting.variable)
        if not text:
            continue
        try:
            values[name] = setting.kind.read(setting.variable, text)
        except SettingsError as error:
            problems.append(str(error))
    if problems:
        raise SettingsError("\n".join(problems))
    if frugal:
        values["workers"] = 1  # whatever is set: each worker has its own models
    if "face_emotion_model" in values:  # named alone, it answers alone
        values.setdefault("face_emotion_weights", ())
    return Settings(**values)


def unknown_variables(environ: Mapping[str, str]) -> list[str]:
    """Return a sentence for each variable SLIPWAY_* that is no setting, with the nearest name."""
    variables = [setting.variable for setting in TABLE.values()]
    return [
        f"{name} is no setting{_nearest(name, variables)}; it is ignored"
        for name, value in sorted(environ.items())
        if name.startswith(PREFIX)
        and name not in (*variables, *OF_OTHERS)
        and not _is_of_service(name, value)
    ]


def _is_of_service(name: str, value: str) -> bool:
    # a person who writes SLIPWAY_PORT means PORT; Kubernetes writes tcp://10.0.0.1:8000
    return _OF_SERVICES.fullmatch(name) is not None and not (
        name == "SLIPWAY_PORT" and value.isdecimal()
    )


def _nearest(name: str, variables: list[str]) -> str:
    short = name.removeprefix(PREFIX)
    if short in variables:
        return f"; {short} is"
    # the prefix, which all have in common, would make any name a near one
    by_short_name = {variable.removeprefix(PREFIX): variable for variable in variables}
    near = difflib.get_close_matches(short, by_short_name, 1)
    return f"; the nearest is {by_short_name[near[0]]}" if near else ""
