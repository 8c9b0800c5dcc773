"""The number of rows that pay in one run, by the times that the conversion measured."""

from collections.abc import Mapping

PAYS = 0.9  # of the time of a row that runs alone: a batch that costs more is not worth its wait


def cheapest_rows(times_ms: Mapping[int, float], most_rows: int) -> int:
    """Return the rows of a run in which a row is cheapest, if that is much cheaper than alone.

    In each smaller batch that was measured a row takes at most PAYS of its time alone too, so that
    a batch may begin before it is full.

    Args:
        times_ms: of one run by its rows, in ascending order; empty: not measured.
        most_rows: the largest batch allowed.

    Returns:
        Rows; 1 if no batch pays.
    """
    alone_ms = times_ms.get(1, 0.0)
    best, best_ms = 1, PAYS * alone_ms
    for rows, run_ms in times_ms.items():
        row_ms = run_ms / rows
        if rows == 1:
            continue
        if rows > most_rows or row_ms > PAYS * alone_ms:
            break
        if row_ms < best_ms:
            best, best_ms = rows, row_ms
    return best
