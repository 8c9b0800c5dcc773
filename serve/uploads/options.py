"""Read the options of an upload: one of several words, a flag, a number."""

import math
from collections.abc import Mapping
from typing import TypeVar

from runtime.errors import InputError
from serve.text.messages import repr_truncated

T = TypeVar("T")

Options = Mapping[str, str]
FLAGS: Mapping[str, bool] = {"true": True, "false": False, "1": True, "0": False}


def without_blanks(options: Options) -> Options:
    """Return the options that hold text, stripped: a form sends its empty fields too."""
    return {name: text.strip() for name, text in options.items() if text.strip()}


def choice(options: Options, name: str, values: Mapping[str, T], default: T) -> T:
    """Return the value of an option by its word, in any case; the default without the option.

    Raises:
        InputError: it is none of the words.
    """
    text = options.get(name)
    if text is None:
        return default
    if text.lower() not in values:
        raise InputError(f"{name} is {repr_truncated(text)}; allowed: {', '.join(values)}")
    return values[text.lower()]


def flag(options: Options, name: str, *, default: bool) -> bool:
    """Return an option that is true, false, 1 or 0.

    Raises:
        InputError: it is none of them.
    """
    return choice(options, name, FLAGS, default)


def number(options: Options, name: str, default: float, *, unit: str = "") -> float:
    """Return an option that is a finite number; `unit` names what it counts in the message.

    Raises:
        InputError: it is none.
    """
    if name not in options:
        return default
    try:
        value = float(options[name])
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        allowed = f"a number of {unit}" if unit else "a number"
        raise InputError(f"{name} is {repr_truncated(options[name])}; allowed: {allowed}")
    return value


def one_of(options: Options, names: tuple[str, ...]) -> str | None:
    """Return the value of an option that has several names; None if it is absent or blank.

    Raises:
        InputError: two of the names are given and differ.
    """
    values = {options[name].strip() for name in names if name in options}
    if len(values) > 1:
        raise InputError(f"{' and '.join(names)} differ; allowed: one of them")
    return next(iter(values), "") or None
