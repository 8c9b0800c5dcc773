"""Sections of a report are written one by one, and the document follows its JSON Schema."""

import json
import math
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.schema.conditions import begin
from benchmarks.schema.document import SCHEMA, read_report, write_section
from runtime.artifact.schema import to_json
from tests.benchmarks.support.reports import validator

LIMIT_ROW = {
    "models": ["a"], "memory_mib": 512, "cpus": 0.5, "settings": {}, "clients": 1,
    "ready_seconds": 1.0, "memory_mb": 100.0, "peak_mb": 120.0, "requests_per_second": 3.0,
    "p50_ms": 2.0, "p99_ms": 3.0, "answered": 10, "refused": 0, "outcome": "served", "detail": "",
}  # fmt: skip


def limits(**changes: object) -> dict[str, Any]:
    return {"conditions": to_json(begin().end()), "rows": [{**LIMIT_ROW, **changes}]}


def test_the_schema_is_one() -> None:
    jsonschema_rs.meta.validate(json.loads(SCHEMA.read_text(encoding="utf-8")))


def test_a_section_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    folder = tmp_path / "report"
    write_section(folder, "limits", limits(answered=1))
    write_section(folder, "scaling", {"conditions": begin().end(), "series": []})
    report = write_section(folder, "limits", limits(answered=2, p50_ms=math.nan))
    assert report == read_report(folder)
    assert report["limits"]["rows"][0]["answered"] == 2
    assert report["limits"]["rows"][0]["p50_ms"] is None
    assert report["scaling"]["series"] == []
    validator().validate(report)
    assert [path.name for path in folder.iterdir()] == ["report.json"]


def test_a_message_names_no_folder(tmp_path: Path) -> None:
    detail = 'ended with 1: File "/opt/some/where/app.py", line 3: /a/b at http://127.0.0.1/x/y'
    report = write_section(tmp_path, "limits", limits(detail=detail))
    assert report["limits"]["rows"][0]["detail"] == (
        'ended with 1: File "app.py", line 3: b at http://127.0.0.1/x/y'
    )


def test_a_field_that_the_schema_does_not_have_is_invalid() -> None:
    assert validator().is_valid({"schema_version": 1, "limits": limits()})
    assert not validator().is_valid({"schema_version": 1, "limits": limits(host="name")})
    assert not validator().is_valid({"schema_version": 1, "limits": limits(outcome="fine")})
    assert not validator().is_valid({"schema_version": 2})


def test_a_report_of_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"schema_version": 7}')
    with pytest.raises(BenchmarkError, match="has schema_version 7; allowed: 1"):
        read_report(tmp_path)
    (tmp_path / "report.json").write_text("{")
    with pytest.raises(BenchmarkError, match=r"report\.json is not JSON"):
        read_report(tmp_path)
