"""Write the files of a report beside its JSON."""

from pathlib import Path

from benchmarks.page import html, markdown, picture
from benchmarks.schema.document import read_report


def write_files(folder: Path) -> None:
    """Write report.md, report.html and latency.svg from the report.json of a folder."""
    report = read_report(folder)
    (folder / "report.md").write_text(markdown.render(report), encoding="utf-8")
    (folder / "report.html").write_text(html.render(report), encoding="utf-8")
    if "suite" in report:
        (folder / "latency.svg").write_text(picture.draw(report["suite"]), encoding="utf-8")
