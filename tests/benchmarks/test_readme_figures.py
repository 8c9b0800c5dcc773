"""The figures of README.md are those of the committed report, whose files follow from its JSON."""

import re
from pathlib import Path

import pytest

from benchmarks import readme_figures
from benchmarks.errors import BenchmarkError
from benchmarks.page import html, markdown, picture
from benchmarks.readme_figures import README, REPORT, main, with_figures
from benchmarks.schema.document import read_report, write_section
from tests.benchmarks.support.reports import suite, validator

SIZE_LIMIT = 1_000_000
TEXT = """\
One process listens 9 s after its start; three vision models take 9 MB. One thread of a 9-core CPU:
<!-- python -m benchmarks.readme_figures --write -->
stale
<!-- figures end -->
end
"""


def test_the_readme_has_the_figures_of_the_committed_report() -> None:
    text = README.read_text(encoding="utf-8")
    stale = readme_figures.changes(text, with_figures(text, read_report(REPORT)["suite"]))
    assert stale == [], "run python -m benchmarks.readme_figures --write"


def test_the_committed_report_is_valid_and_its_files_are_made_from_it() -> None:
    report = read_report(REPORT)
    validator().validate(report)
    assert not report["suite"]["conditions"]["quick"]
    files = {path.name: path.read_text(encoding="utf-8") for path in REPORT.iterdir()}
    assert files.keys() == {"report.json", "report.md", "report.html", "latency.svg"}
    assert files["report.md"] == markdown.render(report)
    assert files["latency.svg"] == picture.draw(report["suite"])
    body = html.render(report).partition("</style>")[2]  # the server's colours may change
    assert files["report.html"].partition("</style>")[2] == body


def test_the_committed_report_is_small_and_names_no_place() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in REPORT.iterdir())
    assert len(text) < SIZE_LIMIT
    assert re.findall(r"(?<![\w/.])/(?:tmp|home|root|work|usr|var|proc/\d)\b[^\s\"]*", text) == []


def test_figures_are_put_between_the_words_and_the_marks() -> None:
    lines = with_figures(TEXT, suite()).splitlines()
    assert lines[0].startswith(
        "One process listens 0.5 s after its start; three vision models take"
    )
    assert "take 209 MB. One thread of a 2-core CPU" in lines[0]
    assert lines[2:] == [
        readme_figures.HEADINGS, "|---|---|---|---|", "<!-- figures end -->", "end"
    ]  # untrained models are left out  # fmt: skip


def test_trained_models_have_rows() -> None:
    section = suite()
    for model in section["models"]:
        model["weights"] = "pretrained"
    lines = with_figures(TEXT, section).splitlines()
    assert lines[4] == "| U-2-Net (u2netp) | 2.5 | 0.25 | 16 synthetic images: IoU 0.990 |"
    assert lines[5].startswith("| xception | 1 | 1 | INT8 is slower")


@pytest.mark.parametrize(
    ("task", "source", "inputs"),
    [
        ("sentence-similarity", "synthetic", "16 synthetic texts"),
        ("video-classification", "sha256:0f", "16 supplied clips"),
        ("audio-classification", "sha256:0f", "16 supplied recordings"),
        ("object-detection", "sha256:0f", "16 supplied images"),
    ],
)
def test_a_row_says_how_many_and_which_inputs(task: str, source: str, inputs: str) -> None:
    section = suite()
    section["models"][0].update(task=task, weights="pretrained")
    section["models"][0]["variants"][0]["fidelity"]["inputs_source"] = source
    assert f"| {inputs}: IoU 0.990 |" in with_figures(TEXT, section)


@pytest.mark.parametrize(
    ("old", "new"), [("listens 9 s", "listens soon"), ("<!-- figures end -->", "")]
)
def test_a_sentence_or_mark_that_is_gone_is_an_error(old: str, new: str) -> None:
    with pytest.raises(BenchmarkError, match=r"README\.md holds .* 0 times"):
        with_figures(TEXT.replace(old, new), suite())


def test_the_command_checks_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(TEXT)
    monkeypatch.setattr(readme_figures, "README", readme)
    arguments = ["--report", str(tmp_path / "report")]
    assert main(["--check", *arguments]) == 1
    assert "holds no report" in capsys.readouterr().err
    write_section(tmp_path / "report", "suite", suite())
    assert main(["--check", *arguments]) == 1
    assert "stale: One process listens 0.5 s" in capsys.readouterr().out
    assert main(["--write", *arguments]) == 0
    assert main(arguments) == 0
