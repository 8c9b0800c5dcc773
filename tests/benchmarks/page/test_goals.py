"""Each goal that a report has a figure for is reached, or short by a stated part."""

import pytest

from benchmarks.page.parts.goals import CLIENTS, SERVED_MODEL, Goal, goals, table
from tests.benchmarks.support.reports import Json, model, report, suite, variant

OWN = "Slipway, 2 workers"


def verdict(peer: str, ratio: float, outcome: str, *, clients: int = CLIENTS) -> Json:
    return {
        "model": SERVED_MODEL, "concurrency": clients, "peer": peer, "own": OWN, "rounds": 5,
        "ratio": ratio, "ratio_minimum": ratio, "ratio_maximum": ratio, "verdict": outcome,
    }  # fmt: skip


def share(limit: str, value: float) -> Json:
    return {
        "model": SERVED_MODEL, "concurrency": CLIENTS, "peer": OWN, "limit": limit, "share": value,
        "share_minimum": value, "share_maximum": value,
    }  # fmt: skip


def content() -> Json:
    fast = variant("int8", median_ms=1.0, faster=2.0, served=True)
    slow = variant("int8", median_ms=1.0, faster=2.16, served=True)
    plain = variant("float", median_ms=1.0, faster=1.0, served=True)
    models = (
        model(SERVED_MODEL, fast), model("face_emotion_arcface", slow),
        model("face_emotion_yolov8n", plain), model("mine", fast),
    )  # fmt: skip
    peers = {
        "verdicts": [verdict("LitServe", 0.8, "slower"), verdict("FastAPI", 1.1, "faster"),
                     verdict("FastAPI", 1.2, "faster", clients=1)],
        "shares": [share("bare loop", 0.72), share("Bare HTTP, 2 threads", 0.95)],
    }  # fmt: skip
    return {**report(), "suite": suite(*models), "peers": peers}


def test_a_goal_is_reached_or_short_by_a_part_of_it() -> None:
    rows = {row[0]: row for row in table(content()).rows}
    assert rows["mobilenetv2: times float's speed"][1:4] == ("at least 1.9", "2.00", "reached")
    assert rows["arcface: times float's speed"][3] == "SHORT by 6%"
    assert rows["yolov8n: times float's speed"][2] == "1.00"
    assert "float serves" in rows["yolov8n: times float's speed"][4]
    assert rows["minutes of make bench"][1:4] == ("at most 10", "5.00", "reached")
    assert rows[f"{OWN}, 8 clients: share of the bare loop"][2:4] == ("0.72", "SHORT by 20%")
    assert rows[f"{OWN}, 8 clients: times LitServe's answers"][2:4] == ("1.25", "reached")
    assert rows[f"{OWN}: peers that are faster"][1:] == (
        "at most 0", "2.00", "SHORT by 2", "FastAPI with 1, FastAPI with 8",
    )  # fmt: skip
    assert len(rows) == 7


def test_no_peers_no_goals_of_theirs() -> None:
    alone = {name: section for name, section in content().items() if name == "suite"}
    assert [goal.name for goal in goals(alone)][-1] == "minutes of make bench"


@pytest.mark.parametrize(
    ("goal", "shortfall"),
    [(Goal("a", 2.0, 1.0), 0.5), (Goal("a", 2.0, 2.0), 0.0), (Goal("a", 0, 2, at_most=True), 2)],
)
def test_what_is_missing_is_a_share_of_the_limit(goal: Goal, shortfall: float) -> None:
    assert goal.shortfall == shortfall
