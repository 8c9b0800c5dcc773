"""The goals of the project beside what a report measured, and what each is short by."""

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks.page.model import Json, Table, latency, served, short

CLIENTS = 8
SERVED_MODEL = "image_embedding_mobilenetv2"
SPEEDS = {  # times float's speed at one thread; convert/DECISIONS.md has those on other media
    "background_u2netp": 2.6,
    "clinical_text_minilm": 1.8,
    "face_emotion_arcface": 2.3,
    "face_emotion_yolo11n": 1.6,
    "face_emotion_yolov8n": 2.3,
    "gait_student": 2.7,
    "image_embedding_mobilenetv2": 1.9,
    "voice_emotion_wav2vec2": 2.9,
}
LOOP_SHARE, LITSERVE_TIMES, SUITE_MINUTES = 0.9, 1.2, 10.0


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure that is asked for."""

    name: str
    limit: float
    value: float
    at_most: bool = False
    note: str = ""

    @property
    def shortfall(self) -> float:
        """Return the missing part of the limit, as a share of it; 0 or less: it is reached."""
        missing = self.value - self.limit if self.at_most else self.limit - self.value
        return missing / self.limit if self.limit else missing


def table(report: Json) -> Table:
    """Return every goal that the report has a figure for."""
    rows = []
    for goal in goals(report):
        bound = f"{'at most' if goal.at_most else 'at least'} {goal.limit:g}"
        missed = f"{goal.shortfall:.0%}" if goal.limit else f"{goal.shortfall:.0f}"
        verdict = f"SHORT by {missed}" if goal.shortfall > 0 else "reached"
        rows.append((goal.name, bound, f"{goal.value:.2f}", verdict, goal.note))
    note = (
        "With the weights and media of these artifacts, on this machine. What limits each network, "
        "and the figures on photos and on other weights: `convert/DECISIONS.md`, Speed of INT8. "
        "What a request costs beside the model: `serve/DECISIONS.md`."
    )
    return Table("Goals", ("figure", "asked", "measured", "verdict", "note"), rows, note, True)


def goals(report: Json) -> Iterator[Goal]:
    """Yield the goals of the sections that a report has."""
    for model in report["suite"]["models"]:
        yield from _speed(model)
    minutes = report["suite"]["conditions"]["seconds"] / 60
    yield Goal("minutes of make bench", SUITE_MINUTES, minutes, at_most=True)
    yield from _servers(report.get("peers", {}))


def _speed(model: Json) -> Iterator[Goal]:
    """Yield the speed of a model that INT8 serves, over float; where float serves, it is 1."""
    limit, variant = SPEEDS.get(model["id"]), served(model)
    if limit is None or latency(variant, 1) is None:
        return
    faster = next(one["times_faster"] for one in variant["timings"] if one["threads"] == 1)
    notes = [] if model["weights"] != "seeded" else ["untrained weights"]
    if variant["precision"] == "float":
        notes.append("no INT8 within the tolerance: float serves")
    name = f"{short(model['id'])}: times float's speed"
    yield Goal(name, limit, faster or 1.0, note="; ".join(notes))


def _servers(peers: Json) -> Iterator[Goal]:
    ours = [one for one in peers.get("verdicts", ()) if one["model"] == SERVED_MODEL]
    at_once = [one for one in ours if one["concurrency"] == CLIENTS]
    if not at_once:
        return
    own = at_once[-1]["own"]  # with as many workers as the peers have
    place = f"{own}, {CLIENTS} clients"
    for share in peers["shares"]:
        key = (share["model"], share["concurrency"], share["peer"], share["limit"])
        if key == (SERVED_MODEL, CLIENTS, own, "bare loop"):
            yield Goal(f"{place}: share of the bare loop", LOOP_SHARE, share["share"])
    for one in at_once:
        if one["own"] == own and one["peer"] == "LitServe" and one["ratio"]:
            yield Goal(f"{place}: times LitServe's answers", LITSERVE_TIMES, 1 / one["ratio"])
    faster = [one for one in ours if one["own"] == own and one["verdict"] == "faster"]
    names = sorted({f"{one['peer']} with {one['concurrency']}" for one in faster})
    note = ", ".join(names)
    yield Goal(f"{own}: peers that are faster", 0, len(names), at_most=True, note=note)
