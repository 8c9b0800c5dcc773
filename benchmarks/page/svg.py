"""Draw plots as SVG for the page, whose style colours their classes.

Each plot is 340 units wide, so that its texts are legible on a phone; the page puts several beside
each other where there is room. A plot has a title and a description for screen readers.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape, quoteattr

WIDTH = 340
LEFT, RIGHT, TOP, BOTTOM = 46, WIDTH - 12, 44, 186
HEIGHT = BOTTOM + 36
ROW = 36  # of a bar with its label above it
BARS_TOP = 40  # of the first label
WHISKER = 1.4  # a whisker that reaches further than this beyond the longest bar is cut
BARS_RIGHT = 250  # the value stands right of the bar
DIGIT = 7.5  # width of a character, at most
MOST_TICKS = 10
LONGEST = 54  # characters of a line
MARKS = ("circle", "square", "diamond", "ring")

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Bar:
    """A horizontal bar from one value to another."""

    label: str
    start: float
    end: float
    text: str
    kind: str  # class of the style
    whisker: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """A series of points that a line joins."""

    name: str
    kind: str
    points: Sequence[tuple[float, float]]
    ranges: Sequence[tuple[float, float]] = ()  # lowest and highest value of each point


@dataclass(frozen=True, slots=True)
class Dot:
    """A point with its name."""

    name: str
    x: float
    y: float
    kind: str


@dataclass(frozen=True, slots=True)
class Axis:
    """A range of values and its ticks."""

    title: str
    low: float
    high: float
    ticks: Sequence[float]
    is_log: bool = False

    def share(self, value: float) -> float:
        """Return the place of a value in the range, 0 to 1."""
        low, high, here = self.low, self.high, min(max(value, self.low), self.high)
        if self.is_log:
            low, high, here = math.log(low), math.log(high), math.log(here)
        return (here - low) / (high - low) if high > low else 0.5


def linear(title: str, values: Sequence[float], *, low: float | None = 0.0) -> Axis:
    """Return an axis of round numbers around some values; from `low` unless it is None."""
    bottom = min(values) if low is None else low
    top = max(values)
    step = _round_step((top - bottom or abs(top) or 1.0) / 4)
    first, last = math.floor(bottom / step), math.ceil(top / step - 1e-9)
    last = max(last, first + 1)
    return Axis(title, first * step, last * step, [n * step for n in range(first, last + 1)])


def logarithmic(title: str, values: Sequence[float]) -> Axis:
    """Return a logarithmic axis whose ticks are the values; they are positive."""
    ticks = sorted(set(values))
    return Axis(title, ticks[0], ticks[-1], ticks, is_log=True)


def decades(title: str, values: Sequence[float]) -> Axis:
    """Return a logarithmic axis with round ticks around some positive values."""
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    powers = [10.0**power for power in range(first, last + 1)]
    ticks = [factor * power for power in powers for factor in (1, 2, 5)]
    low = max(tick for tick in ticks if tick <= min(values))
    high = min(tick for tick in ticks if tick >= max(values))
    between = [tick for tick in ticks if low <= tick <= high]
    if len(between) > MOST_TICKS:
        between = powers
    return Axis(title, between[0], between[-1], between, is_log=True)


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= step * 0.999)


def bars(title: str, rows: Sequence[Bar]) -> str:
    """Draw bars below each other, their labels above them and their values beside them."""
    most = _most(rows)

    def x(value: float) -> float:
        return 8 + (BARS_RIGHT - 8) * min(value, most) / most

    def body() -> Iterator[str]:
        for number, row in enumerate(rows):
            y = BARS_TOP + number * ROW
            left, right = sorted((x(row.start), x(row.end)))
            yield _text(8, y, row.label)
            yield (
                f'<rect class="{row.kind}" x="{left:.1f}" y="{y + 5}" '
                f'width="{max(right - left, 1.5):.1f}" height="14" rx="2"/>'
            )
            if row.whisker:
                yield _whisker(x(row.whisker[0]), x(row.whisker[1]), y + 12)
            edge = max(right, x(row.whisker[1]) if row.whisker else 0.0)
            yield _text(edge + 6, y + 16, row.text, "value")

    description = "; ".join(f"{row.label}: {row.text}" for row in rows)
    return _svg(title, description, BARS_TOP + ROW * len(rows) - 6, body())


def _most(rows: Sequence[Bar]) -> float:
    """Return the value at the right edge."""
    longest = max((max(row.start, row.end) for row in rows), default=0.0)
    reach = max((row.whisker[1] for row in rows if row.whisker), default=0.0)
    return max(longest, min(reach, WHISKER * longest)) or 1.0


def lines(title: str, x_axis: Axis, y_axis: Axis, series: Sequence[Line]) -> str:
    """Draw series of points with lines, their legend below."""
    x, y = _scales(x_axis, y_axis)

    def body() -> Iterator[str]:
        yield from _axes(x_axis, y_axis)
        for number, line in enumerate(series):
            places = [(x(a), y(b)) for a, b in line.points]
            path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
            yield f'<polyline class="line {line.kind} dash{number % 4}" points="{path}"/>'
            for (a, _), (low, high) in zip(places, line.ranges, strict=False):
                yield f'<path class="whisker" d="M{a:.1f} {y(low):.1f}V{y(high):.1f}"/>'
            if len(places) <= 20:
                yield from (_mark(a, b, line.kind, MARKS[number % 4]) for a, b in places)
        for number, line in enumerate(series):
            top = HEIGHT + 8 + 16 * number
            yield f'<path class="line {line.kind} dash{number % 4}" d="M{LEFT} {top}h26"/>'
            yield _mark(LEFT + 13, top, line.kind, MARKS[number % 4])
            yield _text(LEFT + 34, top + 4, line.name)

    description = "; ".join(_describe(line, x_axis, y_axis) for line in series)
    return _svg(title, description, HEIGHT + 12 + 16 * len(series), body())


def dots(
    title: str, x_axis: Axis, y_axis: Axis, points: Sequence[Dot], front: Sequence[Dot] = ()
) -> str:
    """Draw points with numbers, which the legend below explains, and a line along the best."""
    x, y = _scales(x_axis, y_axis)

    def body() -> Iterator[str]:
        yield from _axes(x_axis, y_axis)
        path = " ".join(f"{x(dot.x):.1f},{y(dot.y):.1f}" for dot in front)
        if len(front) > 1:
            yield f'<polyline class="front" points="{path}"/>'
        places = [(x(dot.x), y(dot.y)) for dot in points]
        labels = _labels(places, y_axis.title)
        for number, (dot, place, label) in enumerate(zip(points, places, labels, strict=True), 1):
            yield _mark(*place, dot.kind, MARKS[0])
            yield _text(*label, str(number))
        for number, dot in enumerate(points, 1):
            yield _text(8, HEIGHT + 12 + 16 * (number - 1), _fit(f"{number}  {dot.name}"))

    description = "; ".join(
        f"{dot.name}: {x_axis.title} {dot.x:.3g}, {y_axis.title} {dot.y:.4g}" for dot in points
    )
    return _svg(title, description, HEIGHT + 12 + 16 * len(points), body())


def area(
    title: str,
    points: Sequence[tuple[float, float]],
    events: Sequence[tuple[float, str]],
    unit: str,
) -> str:
    """Draw a value over seconds as a filled line, with numbered events explained below."""
    x_axis = linear("s", [second for second, _ in points])
    y_axis = linear(unit, [value for _, value in points])
    x, y = _scales(x_axis, y_axis)

    def body() -> Iterator[str]:
        path = " ".join(f"L{x(a):.1f} {y(b):.1f}" for a, b in points)
        start, end = x(points[0][0]), x(points[-1][0])
        yield f'<path class="area" d="M{start:.1f} {BOTTOM}{path}L{end:.1f} {BOTTOM}Z"/>'
        yield from _axes(x_axis, y_axis)
        for number, (second, name) in enumerate(events, 1):
            yield f'<path class="event" d="M{x(second):.1f} {TOP}V{BOTTOM}"/>'
            place = (x(second) - 3, "end") if x(second) > LEFT + DIGIT else (x(second) + 3, "")
            yield _text(place[0], TOP + 10 + 12 * (number % 2), str(number), place[1])
            yield _text(8, HEIGHT + 12 + 16 * (number - 1), f"{number}  until here: {name}")

    most = max(value for _, value in points)
    parts = "; ".join(f"{name} until {second:.1f} s" for second, name in events)
    description = f"Highest {most:.0f} {unit}, at the end {points[-1][1]:.0f}. {parts}"
    return _svg(title, description, HEIGHT + 12 + 16 * len(events), body())


def _labels(places: Sequence[tuple[float, float]], title: str) -> list[tuple[float, float]]:
    """Return where the number of each point stands: beside it, and clear of what is there.

    Args:
        places: of the points.
        title: of the vertical axis, which stands above it.
    """
    occupied = [_box(8, TOP - 12, len(title))]
    occupied += [(x - 4, y - 4, x + 4, y + 4) for x, y in places]
    labels = []
    for number, (x, y) in enumerate(places, 1):
        width = DIGIT * len(str(number))
        around = [
            (x + dx - (width if dx < 0 else width / 2 if dx == 0 else 0), y + 4 + dy)
            for reach in (7, 15, 23, 31, 39, 47)
            for dx, dy in ((reach, -6), (reach, 6), (-reach, -6), (-reach, 6), (0, -reach),
                           (0, reach), (reach, 0), (-reach, 0))
        ]  # fmt: skip
        inside = [(a, b) for a, b in around if LEFT < a < WIDTH - width and TOP - 8 < b < BOTTOM]
        free = (
            place
            for place in inside
            if not any(_overlap(_box(*place, len(str(number))), one) for one in occupied)
        )
        label = next(free, (x + 7, y - 5))
        occupied.append(_box(*label, len(str(number))))
        labels.append(label)
    return labels


def _box(x: float, y: float, characters: int) -> Box:
    """Return the edges of a text: left, top, right, bottom."""
    return (x, y - 10, x + DIGIT * characters, y + 2)


def _overlap(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _fit(text: str) -> str:
    """Return a text that fits into the width of a plot: its start and its end."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 27]}...{text[-24:]}"


def _describe(line: Line, x_axis: Axis, y_axis: Axis) -> str:
    if len(line.points) > 20:
        return line.name
    pairs = ", ".join(f"{b:.3g} at {a:g}" for a, b in line.points)
    return f"{line.name}, {y_axis.title} by {x_axis.title}: {pairs}"


def _scales(
    x_axis: Axis, y_axis: Axis
) -> tuple[Callable[[float], float], Callable[[float], float]]:
    return (
        lambda value: LEFT + (RIGHT - LEFT) * x_axis.share(value),
        lambda value: BOTTOM - (BOTTOM - TOP) * y_axis.share(value),
    )


def _axes(x_axis: Axis, y_axis: Axis) -> Iterator[str]:
    x, y = _scales(x_axis, y_axis)
    for tick in y_axis.ticks:
        yield f'<path class="grid" d="M{LEFT} {y(tick):.1f}H{RIGHT}"/>'
        yield _text(LEFT - 5, y(tick) + 4, _tick(tick), "tick end")
    yield f'<path class="axis" d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}"/>'
    for tick in x_axis.ticks:
        yield _text(x(tick), BOTTOM + 14, _tick(tick), "tick middle")
    yield _text(RIGHT, BOTTOM + 29, x_axis.title, "tick end")
    yield _text(8, TOP - 12, y_axis.title, "tick")


def _tick(value: float) -> str:
    return f"{value:.6g}"


def _whisker(left: float, right: float, y: float) -> str:
    ends = f"M{left:.1f} {y - 4}v8M{right:.1f} {y - 4}v8"
    return f'<path class="whisker" d="M{left:.1f} {y}H{right:.1f}{ends}"/>'


def _mark(x: float, y: float, kind: str, shape: str) -> str:
    if shape == "square":
        return f'<rect class="{kind}" x="{x - 3:.1f}" y="{y - 3:.1f}" width="6" height="6"/>'
    if shape == "diamond":
        return f'<path class="{kind}" d="M{x:.1f} {y - 4:.1f}l4 4l-4 4l-4 -4z"/>'
    radius, extra = (3.2, " ring") if shape == "ring" else (3.6, "")
    return f'<circle class="{kind}{extra}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"/>'


def _text(x: float, y: float, content: str, kind: str = "") -> str:
    css = f' class="{kind}"' if kind else ""
    return f'<text{css} x="{x:.1f}" y="{y:.1f}">{escape(content)}</text>'


def _svg(title: str, description: str, height: float, body: Iterator[str]) -> str:
    label = quoteattr(f"{title}. {description}")
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
        f'role="img" aria-label={label}>'
    )
    return "\n".join([head, _text(8, 16, title, "title"), *body, "</svg>"])
