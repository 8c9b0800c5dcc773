"""`python -m benchmarks.readme_figures`: the figures of README.md, from the committed report."""

import argparse
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.children import PROJECT
from benchmarks.errors import BenchmarkError
from benchmarks.page.model import Json, served
from benchmarks.schema.document import read_report
from runtime.errors import SlipwayError

README = PROJECT / "README.md"
REPORT = PROJECT / "benchmarks" / "report"
BEGIN, END = "<!-- python -m benchmarks.readme_figures --write -->\n", "<!-- figures end -->\n"
HEADINGS = "| model | times faster | size | INT8 against the original, on inputs it never saw |"
NAMES: Mapping[str, str] = {
    "background_u2net": "U-2-Net",
    "background_u2netp": "U-2-Net (u2netp)",
    "clinical_text_minilm": "MiniLM",
    "face_detector_blazeface": "BlazeFace",
    "face_detector_yunet": "YuNet",
    "face_emotion_arcface": "MobileFaceNet",
    "face_emotion_efficientnet_b3": "EfficientNet-B3",
    "face_emotion_xception": "xception",
    "face_emotion_yolo11n": "YOLO11n",
    "face_emotion_yolov8n": "YOLOv8n",
    "gait_student": "gait student",
    "image_embedding_mobilenetv2": "MobileNetV2",
    "image_embedding_resnet50": "ResNet-50",
    "voice_emotion_wav2vec2": "Wav2Vec2",
}
METRICS: Mapping[str, str] = {
    "iou_mean": "IoU",
    "cosine_mean": "cosine",
    "top1_agreement": "same class",
    "sure_agreement": "same class where sure",
    "regret": "regret",
    "box_recall": "boxes found",
    "sure_recall": "sure boxes found",
}
MEDIA: Mapping[str, str] = {  # by task; the others take images
    "audio-classification": "recordings",
    "sentence-similarity": "texts",
    "video-classification": "clips",
}


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of README.md with a figure."""

    pattern: str  # its only group is the figure
    figure: Callable[[Json], str]  # from the section "suite"


def _resident_mb(suite: Json) -> str:
    states = {state["name"]: state["rss_mb"] for state in suite["memory"]["states"]}
    return f"{states['3 models, each asked']:.0f}"


SENTENCES = (
    Sentence(
        r"One process listens ([\d.]+) s after its start",
        lambda suite: f"{suite['server']['listening_s']:.1f}",
    ),
    Sentence(r"three vision models take (\d+) MB", _resident_mb),
    Sentence(
        r"One thread of a (\d+)-core CPU", lambda suite: f"{suite['conditions']['machine']['cpus']}"
    ),
)


def with_figures(readme: str, suite: Json) -> str:
    """Return the text of README.md with the figures of a section "suite".

    Raises:
        BenchmarkError: a sentence or the table's marks are not in the text once, or the report
            lacks a figure.
    """
    for sentence in SENTENCES:
        readme = _replaced(readme, sentence, suite)
    for mark in (BEGIN, END):
        if readme.count(mark) != 1:
            raise BenchmarkError(f"README.md holds {mark.strip()!r} {readme.count(mark)} times")
    head, _, rest = readme.partition(BEGIN)
    _, _, tail = rest.partition(END)
    table = "\n".join([HEADINGS, "|---|---|---|---|", *_rows(suite)])
    return f"{head}{BEGIN}{table}\n{END}{tail}"


def _replaced(readme: str, sentence: Sentence, suite: Json) -> str:
    matches = list(re.finditer(sentence.pattern, readme))
    if len(matches) != 1:
        raise BenchmarkError(f"README.md holds {sentence.pattern!r} {len(matches)} times")
    try:
        figure = sentence.figure(suite)
    except KeyError as error:
        raise BenchmarkError(f"the report has no {error} for {sentence.pattern!r}") from error
    start, end = matches[0].span(1)
    return readme[:start] + figure + readme[end:]


def _rows(suite: Json) -> Iterator[str]:
    """Yield a row for each trained model that INT8 serves, and one for the other trained ones."""
    plain = []
    for model in suite["models"]:
        if model["weights"] == "seeded":
            continue  # untrained: INT8's fidelity says nothing
        variant = served(model)
        name = NAMES.get(model["id"], model["id"])
        timing = variant["timings"][0]
        if variant["precision"] != "int8":
            plain.append(name)
            continue
        reference = next(one for one in model["variants"] if one["precision"] == "float")
        size = variant["size_mb"] / reference["size_mb"]
        cells = (f"{timing['times_faster']:.1f}", f"{size:.2f}", _fidelity(variant, model["task"]))
        yield f"| {' | '.join((name, *cells))} |"
    if plain:
        reason = "INT8 is slower, or outside its tolerance: float serves"
        yield f"| {', '.join(plain)} | 1 | 1 | {reason} |"


def _fidelity(variant: Json, task: str) -> str:
    """Return the first metric that has a value, after the number and origin of the inputs."""
    fidelity = variant["fidelity"]
    name, value = next(
        ((name, value) for name, value in fidelity["metrics"].items() if value is not None),
        ("", None),
    )
    if value is None:
        return "-"
    origin = "synthetic" if fidelity["inputs_source"] == "synthetic" else "supplied"
    inputs = f"{fidelity['inputs']} {origin} {MEDIA.get(task, 'images')}"
    return f"{inputs}: {METRICS.get(name, name)} {value:.3f}"


def changes(old: str, new: str) -> list[str]:
    """Return the lines of the new text that are not in the old one."""
    lines = set(old.splitlines())
    return [line for line in new.splitlines() if line not in lines]


def main(arguments: Sequence[str] | None = None) -> int:
    """Check or write; return 1 if README.md is stale or cannot be read, else 0."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.readme_figures",
        description="Write the measured figures of README.md from the committed report, or check "
        "that they are those of the report.",
    )
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--write", action="store_true", help="write the figures into README.md")
    action.add_argument("--check", action="store_true", help="exit with 1 if they differ (default)")
    parser.add_argument(
        "--report",
        type=Path,
        default=REPORT,
        metavar="DIR",
        help="folder of report.json (default: benchmarks/report)",
    )
    options = parser.parse_args(arguments)
    try:
        report = read_report(options.report)
        if "suite" not in report:
            raise BenchmarkError(f"{options.report} holds no report of `make bench`")
        old = README.read_text(encoding="utf-8")
        new = with_figures(old, report["suite"])
    except (SlipwayError, OSError) as error:
        print(f"benchmarks.readme_figures: {error}", file=sys.stderr)
        return 1
    stale = changes(old, new)
    if options.write:
        README.write_text(new, encoding="utf-8")
    for line in stale:
        print(f"{'written' if options.write else 'stale'}: {line}")
    return 1 if stale and not options.write else 0


if __name__ == "__main__":
    sys.exit(main())
