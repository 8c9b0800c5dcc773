"""The options of a route: each is a definition, which reads a request and is documented as it is.

An option has one name, and a former or second one where clients use it.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from runtime.errors import InputError
from serve.settings import Settings
from serve.text.integers import parse_integer
from serve.text.messages import repr_truncated

T = TypeVar("T")

Options = Mapping[str, str]
FLAGS: Mapping[str, bool] = {"true": True, "false": False, "1": True, "0": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice(Generic[T]):
    """An option that is one of several words, in any case."""

    name: str
    values: Mapping[str, T]
    default: T
    help: str

    def read(self, options: Options) -> T:
        """Return the value of the word; the default without the option.

        Raises:
            InputError: it is none of the words.
        """
        text = options.get(self.name)
        if text is None:
            return self.default
        if text.lower() not in self.values:
            allowed = ", ".join(self.values)
            raise InputError(f"{self.name} is {repr_truncated(text)}; allowed: {allowed}")
        return self.values[text.lower()]


def flag(name: str, *, default: bool, help: str) -> Choice[bool]:
    """Return an option that is true, false, 1 or 0."""
    return Choice(name=name, values=FLAGS, default=default, help=help)


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """An option that is a finite number; the task refuses one out of range."""

    name: str
    default: float
    least: float
    most: float
    help: str
    unit: str = ""  # what it counts, for the message

    def read(self, options: Options) -> float:
        """Return the number; the default without the option.

        Raises:
            InputError: it is no finite number.
        """
        if self.name not in options:
            return self.default
        try:
            value = float(options[self.name])
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            allowed = f"a number of {self.unit}" if self.unit else "a number"
            text = repr_truncated(options[self.name])
            raise InputError(f"{self.name} is {text}; allowed: {allowed}")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Integer:
    """An option that is an integer; its default and its upper limit are settings."""

    name: str
    default: Callable[[Settings], int]
    least: int
    most: Callable[[Settings], int]
    help: str
    unit: str = ""

    def read(self, options: Options, settings: Settings) -> int:
        """Return the integer; the default without the option.

        Raises:
            InputError: it is no integer in its range.
        """
        if self.name not in options:
            return self.default(settings)
        most = self.most(settings)
        value = parse_integer(options[self.name], self.least, most)
        if value is None:
            text = repr_truncated(options[self.name])
            unit = f" {self.unit}" if self.unit else ""
            raise InputError(f"{self.name} is {text}; allowed: {self.least} to {most}{unit}")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """An option that is a text; the task reads it."""

    name: str
    help: str
    example: str
    longest: int | None = None  # characters
    other_names: tuple[str, ...] = ()  # second names
    deprecated: tuple[str, ...] = ()  # former names

    def read(self, options: Options) -> str | None:
        """Return the text, stripped; None if it is absent or blank.

        Raises:
            InputError: two names of the option are given and differ.
        """
        names = names_of(self)
        values = {options[name].strip() for name in names if name in options}
        if len(values) > 1:
            raise InputError(f"{' and '.join(names)} differ; allowed: one of them")
        return next(iter(values), "") or None


Option = Choice[Any] | Number | Integer | Text


def names_of(option: Option) -> tuple[str, ...]:
    """Return the names of an option, the first of them to be used."""
    if isinstance(option, Text):
        return (option.name, *option.other_names, *option.deprecated)
    return (option.name,)


def without_blanks(options: Options) -> Options:
    """Return the options that hold text, stripped: a form sends its empty fields too."""
    return {name: text.strip() for name, text in options.items() if text.strip()}
