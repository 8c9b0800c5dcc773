"""The content of the report between JSON and text: parts, tables and figures."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first column names the row."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""  # how to read it
    is_open: bool = False  # shown on the page without a click


@dataclass(frozen=True, slots=True)
class Figure:
    """Plots that belong together; the table of their figures follows."""

    title: str
    plots: Sequence[str]  # SVG
    note: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """A section of the report."""

    title: str
    conditions: Json
    content: Sequence[Table | Figure]
    notes: Sequence[str] = ()


def three_digits(value: float | None) -> str:
    """Format with two or three significant digits, without an exponent; a dash for None."""
    if value is None:
        return "-"
    size = abs(value)
    decimals = 0 if size >= 100 else 1 if size >= 10 else 2 if size >= 0.1 or not size else 4
    return f"{value:.{decimals}f}"


def percent(value: float | None) -> str:
    """Format a share; a dash for None."""
    return "-" if value is None else f"{value:.0%}"


def short(model: str) -> str:
    """Return the last word of a model's id, which tells the models apart."""
    return model.rsplit("_", 1)[-1]


def served(model: Json) -> Json:
    """Return the variant of a model that the runtime picks."""
    variant: Json = next(one for one in model["variants"] if one["served"])
    return variant


def latency(variant: Json, threads: int) -> Json | None:
    """Return the spread of a variant at a number of threads; None if it was not measured."""
    timings = (one for one in variant["timings"] if one["threads"] == threads)
    return next((one["latency"] for one in timings), None)


def variant_name(name: str) -> str:
    """Return the name of a variant with INT8 in capitals."""
    return name.replace("int8", "INT8")
