"""The table of the suite: row, bound, measured."""

from dataclasses import dataclass, field

CELL = 44  # characters of a cell at most


@dataclass(frozen=True, slots=True)
class Row:
    """One measurement beside its bound."""

    trouble: str
    quantity: str
    bound: str
    measured: str
    holds: bool


def shorten(text: str) -> str:
    """Return a text as a cell of the table."""
    text = text.strip()
    return text if len(text) <= CELL else f"{text[: CELL - 3]}..."


@dataclass(slots=True)
class Table:
    """The rows of one session."""

    rows: list[Row] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return the rows as columns of text."""
        cells = [("trouble", "quantity", "bound", "measured", "")]
        cells += [
            (row.trouble, row.quantity, row.bound, row.measured, "" if row.holds else "MISSED")
            for row in self.rows
        ]
        widths = [max(len(row[column]) for row in cells) for column in range(5)]
        return [
            "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
            for row in cells
        ]


@dataclass(frozen=True, slots=True)
class Figures:
    """The measurements of one test: each is put into the table, and its bound asserted at the end.

    A row is written whether its bound holds or not, and a missed bound does not keep the test from
    measuring the others.
    """

    trouble: str
    table: Table
    margin: float  # factor on bounds of seconds, or as many seconds more if that is less

    def at_most(self, quantity: str, value: float, bound: float, unit: str) -> None:
        """Bound a measurement from above; a bound in "s" is wider on a busy machine."""
        allowed = bound + (self.margin - 1) * min(bound, 1) if unit == "s" else bound
        self._add(quantity, f"<= {allowed:g} {unit}", f"{value:.3g} {unit}", value <= allowed)

    def at_least(self, quantity: str, value: float, bound: float, unit: str = "") -> None:
        """Bound a measurement from below."""
        self._add(quantity, f">= {bound:g} {unit}", f"{value:.3g} {unit}", value >= bound)

    def equal(self, quantity: str, value: object, expected: object) -> None:
        """Expect one value."""
        self._add(quantity, str(expected), str(value), value == expected)

    def show(self, quantity: str, value: float, unit: str) -> None:
        """Put a measurement without a bound into the table."""
        self._add(quantity, "", f"{value:.3g} {unit}", True)

    def one_of(self, quantity: str, value: object, allowed: tuple[object, ...]) -> None:
        """Expect one of several values."""
        listed = " or ".join(map(str, allowed))
        self._add(quantity, listed, str(value), value in allowed)

    def missed(self) -> list[str]:
        """Return the rows of this test whose bound does not hold, as text."""
        return [
            f"{row.quantity} is {row.measured}; allowed: {row.bound}"
            for row in self.table.rows
            if row.trouble == self.trouble and not row.holds
        ]

    def _add(self, quantity: str, bound: str, measured: str, holds: bool) -> None:
        cells = (shorten(bound), shorten(measured))
        row = Row(self.trouble, quantity, *cells, holds)
        self.table.rows.append(row)
