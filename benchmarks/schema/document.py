"""Read and write report.json, whose sections are measured by different commands.

`report.schema.json` says what a section holds. A command replaces its own section and keeps the
others.
"""

import json
import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from benchmarks.errors import BenchmarkError
from runtime.artifact.schema import to_json

VERSION = 1
SCHEMA = Path(__file__).with_name("report.schema.json")
NAME = "report.json"
MESSAGES = ("error", "detail")  # fields that quote what a process printed
_FOLDERS = re.compile(r"(?<![\w/.:])/(?:[^\s/:\"']+/)+")
Section = Literal["suite", "originals", "scaling", "peers", "limits"]


def read_report(folder: Path) -> dict[str, Any]:
    """Return the report of a folder; one without sections if there is none.

    Raises:
        BenchmarkError: it is not JSON, or of another version of the schema.
    """
    path = folder / NAME
    if not path.exists():
        return {"schema_version": VERSION}
    try:
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BenchmarkError(f"{path} is not JSON: {error}") from error
    if report.get("schema_version") != VERSION:
        raise BenchmarkError(
            f"{path} has schema_version {report.get('schema_version')!r}; allowed: {VERSION}"
        )
    return report


def write_section(folder: Path, name: Section, section: object) -> dict[str, Any]:
    """Replace one section of the report of a folder, which is made if it does not exist.

    Args:
        folder: of the report.
        name: of the section.
        section: dataclasses, mappings and scalars; a number that is not finite becomes null, and
            the paths in its MESSAGES lose their folders.

    Returns:
        The whole report.
    """
    folder.mkdir(parents=True, exist_ok=True)
    report = {**read_report(folder), name: _without_folders(_finite(to_json(section)))}
    text = json.dumps(report, indent=1, allow_nan=False)
    temporary = folder / f".{NAME}.{os.getpid()}"
    temporary.write_text(f"{text}\n", encoding="utf-8")
    temporary.replace(folder / NAME)
    return report


def _without_folders(value: Any) -> Any:
    """Return the same value with file names in place of the absolute paths in its MESSAGES."""
    if isinstance(value, list):
        return [_without_folders(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {
        key: _FOLDERS.sub("", item)
        if key in MESSAGES and isinstance(item, str)
        else _without_folders(item)
        for key, item in value.items()
    }


def _finite(value: Any) -> Any:
    """Return the same value with six significant digits of each number, and null for NaN."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value
