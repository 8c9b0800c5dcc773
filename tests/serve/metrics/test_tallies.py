"""Tallies tell Prometheus what the library's own instruments would."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from serve.metrics.tallies import Counts, Histograms, Tallies

BOUNDS = (0.001, 0.0025, 0.1, 1.0, 30.0)
OBSERVED = (0.0, 0.001, 0.0011, 0.5, 1.0, 30.0001, 1000.0)


def test_the_text_equals_that_of_the_library() -> None:
    theirs, ours = CollectorRegistry(), CollectorRegistry()
    counter = Counter("made", "Made", ["a", "b"], registry=theirs)
    histogram = Histogram("took_seconds", "Took", ["a"], registry=theirs, buckets=BOUNDS)
    counts, histograms = Counts("made", "Made", "a", "b"), Histograms(
        "took_seconds", "Took", "a", bounds=BOUNDS
    )  # fmt: skip
    ours.register(Tallies((counts, histograms)))
    for seconds in OBSERVED:
        histogram.labels('x"y').observe(seconds)
        histograms['x"y',].add(seconds)
        counter.labels("1", "2").inc()
        counts["1", "2"] += 1

    def samples(registry: CollectorRegistry) -> set[str]:
        lines = generate_latest(registry).decode().splitlines()
        return {line for line in lines if "_created" not in line}

    assert len(samples(ours)) == 4 + 1 + len(BOUNDS) + 3
    assert samples(ours) == samples(theirs)


def test_what_was_not_counted_is_zero_and_has_no_line() -> None:
    counts = Counts("made", "Made", "a")
    assert counts["x",] == 0
    assert [sample for family in counts.collect() for sample in family.samples] == []
