"""Fidelity by time of all that was tried, and the front: what nothing else beats in both."""

from collections.abc import Sequence
from dataclasses import dataclass

from convert.commands.report.markup import text
from convert.commands.report.plots import milliseconds

WIDTH, HEIGHT = 420, 180  # px
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 10, 30  # px of margins; numbers stand in them
RADIUS = 4
LOWEST = 0.8  # of the axis, as a share of the way down from the best: far worse ones stand there


@dataclass(frozen=True, slots=True)
class Point:
    """One candidate."""

    name: str
    milliseconds: float
    fidelity: float  # 1 is best
    kind: str  # "float", "quantized" or "searched": its class in the page's style


def front(points: Sequence[Point]) -> list[Point]:
    """Those that no other one is as fast as and as close as, from the fastest to the slowest."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda each: (each.milliseconds, -each.fidelity)):
        if not kept or point.fidelity > kept[-1].fidelity:
            kept.append(point)
    return kept


def draw_front(points: Sequence[Point], *, title: str) -> str:
    """An SVG: a mark for each candidate, and a line through the front.

    Args:
        points: at least one; what is far below the others stands at the lower edge.
        title: what the axes are.
    """
    best = front(points)
    slowest = max(point.milliseconds for point in points) or 1.0
    floor = max(min(point.fidelity for point in points), LOWEST)
    top = max(max(point.fidelity for point in points), floor + 1e-6)

    def place(point: Point) -> tuple[float, float]:
        share = (max(point.fidelity, floor) - floor) / (top - floor)
        x = LEFT + (WIDTH - LEFT - RIGHT) * point.milliseconds / slowest
        return x, TOP + (HEIGHT - TOP - BOTTOM) * (1 - share)

    line = " ".join("{:.1f},{:.1f}".format(*place(point)) for point in best)
    told = "; ".join(f"{each.name} {milliseconds(each.milliseconds)}" for each in best)
    base = HEIGHT - BOTTOM
    return "".join(
        [
            f'<svg role="img" class="front" aria-label="{text(title)}; front: {text(told)}" '
            f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}">',
            f'<path class="axis" d="M{LEFT} {TOP}V{base}H{WIDTH - RIGHT}"/>',
            f'<text x="0" y="{TOP + 8}">{top:.4f}</text><text x="0" y="{base}">{floor:.4f}</text>',
            f'<text x="{LEFT}" y="{HEIGHT - 8}">0, {text(title)}</text>',
            f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 8}" text-anchor="end">'
            f"{milliseconds(slowest)}</text>",
            f'<polyline class="front-line" points="{line}"/>',
            *(_mark(point, *place(point)) for point in points),
            "</svg>",
        ]
    )


def _mark(point: Point, x: float, y: float) -> str:
    told = f"{point.name}: {milliseconds(point.milliseconds)}, {point.fidelity:.4f}"
    return (
        f'<circle class="{text(point.kind)}" cx="{x:.1f}" cy="{y:.1f}" r="{RADIUS}">'
        f"<title>{text(told)}</title></circle>"
    )
