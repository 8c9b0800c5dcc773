"""The part of the report about cost as a function of size."""

from collections.abc import Iterator

from benchmarks.page.model import Figure, Json, Part, Table
from benchmarks.page.svg import Line, linear, lines


def part(report: Json) -> Part:
    """Return the part of a report that has a section "scaling"."""
    section = report["scaling"]
    return Part("Scaling", section["conditions"], tuple(_content(section)))


def _content(section: Json) -> Iterator[Table | Figure]:
    plots = [_plot(one) for one in section["series"] if len(one["points"]) > 1]
    note = "Points as measured; the dashed line is a least-squares fit."
    yield Figure("Cost by size", plots, note)
    yield _table(section)


def _plot(series: Json) -> str:
    points = [(point["size"], point["value"]) for point in series["points"]]
    sizes = [size for size, _ in points]
    measured = [Line(series["function"], "quantized", points)]
    if series["slope"] is not None:
        ends = [min(sizes), max(sizes)]
        fit = [(x, series["intercept"] + series["slope"] * x) for x in ends]
        measured.append(Line("straight line", "float", [(x, max(y, 0.0)) for x, y in fit]))
    y_axis = linear(series["value"], [value for _, value in points] + [1e-9])
    title = f"{series['function']}: {series['value']}"
    return lines(title, linear(series["quantity"], sizes), y_axis, measured)


def _table(section: Json) -> Table:
    rows = [
        (
            f"{one['function']}, {one['value']}",
            one["quantity"],
            ", ".join(f"{point['size']:g}: {point['value']:.3g}" for point in one["points"]),
            _slope(one),
        )
        for one in section["series"]
    ]
    note = (
        "Slope: what one more unit of the quantity costs, by a least-squares line; after ± its "
        "standard error. A large error says that the points do not lie on a line."
    )
    return Table("Points and slopes", ("function", "quantity", "points", "slope"), rows, note)


def _slope(series: Json) -> str:
    slope, error = series["slope"], series["slope_error"]
    if slope is None:
        return "-"
    return f"{slope:.3g}" + ("" if error is None else f" ± {error:.2g}")
