"""Format an evaluation for the terminal."""

from collections.abc import Iterator, Sequence

from convert.commands.evaluate.accuracy import Accuracy, confusion
from convert.commands.evaluate.overlap import Overlap
from runtime.cli.table import align

SHOWN = 20  # cases that changed; --json has all


def format_result(result: Accuracy | Overlap) -> Iterator[str]:
    """Return the lines of the tables of a result."""
    return _format_accuracy(result) if isinstance(result, Accuracy) else _format_overlap(result)


def _format_accuracy(result: Accuracy) -> Iterator[str]:
    count, (before, after) = len(result.predictions), result.correct
    yield f"accuracy  before {before / count:.4f}  after {after / count:.4f}  of {count} cases"
    yield (
        f"net change {after - before:+d}; {len(result.changed)} predictions changed; "
        f"McNemar's test: p = {result.p_value:.2f}"
    )
    yield ""
    heading = ("class", "cases", "before", "after")
    classes = [
        (
            label,
            str(facts["cases"]),
            *(f"{facts[f'accuracy_{s}']:.4f}" for s in ("before", "after")),
        )
        for label, facts in result.by_class().items()
    ]
    yield from align([heading, *classes])
    for side in ("before", "after"):
        yield from ("", f"confusion {side}: rows are labels, columns answers")
        matrix = confusion(result.labels, result.columns, result.predictions, side)
        rows = [
            (label, *map(str, row))
            for label, row in zip(result.labels, matrix, strict=True)
            if any(row)
        ]
        yield from align([("", *result.columns), *rows])
    changed = [(e.file, e.label, e.before, e.after) for e in result.changed]
    yield from _format_changed(("file", "label", "before", "after"), changed)


def _format_overlap(result: Overlap) -> Iterator[str]:
    facts = result.to_json()
    rows = [
        (name, *(f"{facts[f'{key}_{side}']:.4f}" for side in ("before", "after")))
        for name, key in (("IoU, mean", "iou"), ("IoU, 5th percentile", "iou_p05"), ("MAE", "mae"))
    ]
    yield from align([(f"{facts['cases']} images", "before", "after"), *rows])
    yield f"net change of IoU {facts['net_change']:+.4f}"
    changed = [
        (e.file, f"{e.iou_before:.4f}", f"{e.iou_after:.4f}", f"{e.change:+.4f}")
        for e in result.changed
    ]
    yield from _format_changed(("file", "IoU before", "after", "change"), changed)


def _format_changed(heading: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    if not rows:
        return
    more = f"; the first {SHOWN} are shown" if len(rows) > SHOWN else ""
    yield from ("", f"{len(rows)} cases changed{more}")
    yield from align([heading, *rows[:SHOWN]])
