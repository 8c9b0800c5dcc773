"""Small pictures for a cell: two bars, before and after. Inline SVG; colours are the page's."""

from collections.abc import Callable, Sequence

from convert.commands.report.facts import Measured
from convert.commands.report.markup import text

WIDTH, BAR, ROW = 126, 10, 26  # px; a row is a line of text and its bar


def size_bars(variants: Sequence[Measured]) -> str:
    """Bytes of each variant."""
    return _bars("Size", variants, lambda one: one.size_bytes, megabytes)


def time_bars(variants: Sequence[Measured]) -> str:
    """Milliseconds of each variant."""
    return _bars("Latency", variants, lambda one: one.milliseconds, milliseconds)


def megabytes(size_bytes: float) -> str:
    """Three digits, and megabytes as disks count them."""
    return f"{_three_digits(size_bytes / 1e6)} MB"


def milliseconds(value: float) -> str:
    """Three digits."""
    return f"{_three_digits(value)} ms"


def _three_digits(value: float) -> str:
    decimals = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{decimals}f}"


def _bars(
    title: str,
    variants: Sequence[Measured],
    measure: Callable[[Measured], float],
    written: Callable[[float], str],
) -> str:
    """One bar per variant, the largest as wide as the picture; the text alone says it all too."""
    largest = max(measure(one) for one in variants) or 1.0
    told = [f"{called(one)} {written(measure(one))}" for one in variants]
    height = ROW * len(variants)
    parts = [
        f'<svg role="img" aria-label="{text(title)}: {text("; ".join(told))}" '
        f'width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}">'
    ]
    for number, (one, line) in enumerate(zip(variants, told, strict=True)):
        top = ROW * number
        width = max(2.0, WIDTH * measure(one) / largest)
        kind = "quantized" if one.precision == "int8" else "float"
        parts.append(f'<text x="0" y="{top + 10}">{text(line)}</text>')
        size = f'width="{width:.1f}" height="{BAR - 2}" rx="2"'
        parts.append(f'<rect class="{kind}" x="0" y="{top + 14}" {size}/>')
    return "".join([*parts, "</svg>"])


def called(variant: Measured) -> str:
    """Its name as people write it."""
    return variant.name.replace("int8", "INT8")
