"""The texts of several workers as one, read by Prometheus's own parser."""

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from serve.metrics.merge import merge_texts


def text_of(amount: float) -> str:
    registry = CollectorRegistry()
    Gauge("plain", "Without labels", registry=registry).set(amount)
    labelled = Counter("made", "With {braces} and spaces", ["what"], registry=registry)
    labelled.labels('a{b="c d"} e').inc(amount)
    return generate_latest(registry).decode()


def test_each_figure_says_whose_it_is_and_families_stay_together() -> None:
    families = list(text_string_to_metric_families(merge_texts({0: text_of(1), 2: text_of(3)})))
    assert [family.name for family in families][:2] == ["plain", "made"]
    plain, made = families[:2]
    assert [(s.labels, s.value) for s in plain.samples] == [
        ({"worker": "0"}, 1.0),
        ({"worker": "2"}, 3.0),
    ]
    totals = [s for s in made.samples if s.name == "made_total"]
    assert [(s.labels, s.value) for s in totals] == [
        ({"worker": "0", "what": 'a{b="c d"} e'}, 1.0),
        ({"worker": "2", "what": 'a{b="c d"} e'}, 3.0),
    ]


def test_a_worker_without_a_family_is_left_out_of_it() -> None:
    text = merge_texts({0: text_of(1), 1: "# HELP plain Without labels\n# TYPE plain gauge\n"})
    assert 'plain{worker="0"} 1.0' in text
    assert 'worker="1"' not in text
