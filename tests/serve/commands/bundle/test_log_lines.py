"""The lines of a log that come into the bundle."""

import json
from pathlib import Path

import pytest

from serve.commands.bundle.log_lines import MOST_BYTES, last_lines

TIME = "2026-11-29T22:09:31.065Z"
REQUEST = f"{TIME} POST /v1/models/{{model}} 200 115.2ms run=93.1ms in=1487 out=16 model=m/1"


def lines_of(tmp_path: Path, *lines: str) -> list[str]:
    path = tmp_path / "log"
    path.write_text("\n".join(lines) + "\n")
    return last_lines(path)


def test_lines_of_requests_have_no_id_that_a_client_chose(tmp_path: Path) -> None:
    assert lines_of(tmp_path, f"{REQUEST} id=patient-7 trace=00ff") == [REQUEST]


def test_messages_of_the_server_stay(tmp_path: Path) -> None:
    lines = ["serve: ready", f"{TIME} warning: memory is short"]
    assert lines_of(tmp_path, *lines) == lines


@pytest.mark.parametrize(
    "line",
    [
        '10.0.0.7 - - [29/Nov] "POST /v1/x?patient=7 HTTP/1.1" 200',
        f"{REQUEST} file=my photo.jpg",
        '{"note": "hello"}',
        '["payload"]',
        "payload",
    ],
)
def test_lines_of_other_forms_are_left_out(line: str, tmp_path: Path) -> None:
    assert lines_of(tmp_path, line) == ["(1 lines of another form are left out)"]


def test_a_traceback_has_its_frames_and_the_type_of_the_error(tmp_path: Path) -> None:
    frame = '  File "/slipway/serve/app.py", line 7, in call'
    lines = [
        "Traceback (most recent call last):",
        frame,
        "    read(secret)",
        "ValueError: 'payload'",
    ]
    assert lines_of(tmp_path, *lines)[:-1] == [lines[0], frame, "ValueError"]


def test_json_has_its_known_fields(tmp_path: Path) -> None:
    message = "fault\nTraceback (most recent call last):\n    source\nKeyError: 'payload'"
    content = {"time": TIME, "level": "error", "message": message, "request_id": "p7", "x": 1}
    (line,) = lines_of(tmp_path, json.dumps(content))
    assert json.loads(line) == {
        "time": TIME,
        "level": "error",
        "message": "fault\nTraceback (most recent call last):\nKeyError",
    }


def test_the_end_of_a_large_log_is_read(tmp_path: Path) -> None:
    lines = lines_of(tmp_path, *[f"serve: {'x' * 1000}"] * 3000, "serve: last")
    assert lines[-1] == "serve: last"
    assert sum(map(len, lines)) < MOST_BYTES
