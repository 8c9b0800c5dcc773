"""The points in order, and their report."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.conformance.outcome import CheckError, NotOfferedError, Parts
from benchmarks.conformance.points import extensions, refusals, requests, server
from benchmarks.conformance.subject import Subject

Check = Callable[[Subject, Parts], None]

POINTS: tuple[tuple[str, Check], ...] = (
    ("live, ready, model ready", server.health),
    ("metadata and config", server.metadata),
    ("JSON, flat and nested", requests.json_data),
    ("binary in and out, mixed, no rows", requests.binary_data),
    ("no outputs: binary", requests.binary_by_default),
    ("override per output", requests.overrides),
    ("raw binary request", requests.raw),
    ("gzip and deflate both ways", extensions.compression),
    ("BYTES", requests.text_elements),
    ("every datatype", requests.datatypes),
    ("id", requests.ids),
    ("errors are JSON", server.errors),
    ("truncated and extra bytes", refusals.sizes),
    ("length of the JSON", refusals.lengths),
    ("unknown, duplicate, missing inputs", refusals.inputs),
    ("shapes", refusals.shapes),
    ("quoted names", server.quoted_names),
    ("base path", server.base_path),
    ("versions", server.versions),
    ("repository index", extensions.index),
    ("load and unload", extensions.load_and_unload),
    ("statistics", extensions.statistics),
    ("classification", extensions.classification),
    ("keep-alive after an error", refusals.keep_alive),
    ("requests at once", requests.concurrency),
)


@dataclass(frozen=True, slots=True)
class Row:
    """The verdict on one point."""

    number: int
    title: str
    verdict: str  # pass, partly, fail or not offered
    reason: str

    def __str__(self) -> str:
        """Return the line of the report."""
        return f"{self.number:2} {self.verdict:11} {self.title}: {self.reason}"


def judge(subject: Subject) -> Iterator[Row]:
    """Yield the verdict on each point, in order."""
    for number, (title, check) in enumerate(POINTS, 1):
        parts = Parts()
        try:
            check(subject, parts)
        except CheckError as error:
            parts.bad.append(str(error))
        except NotOfferedError as error:
            parts.absent.append(str(error))
        yield Row(number, title, parts.verdict, parts.reason)
