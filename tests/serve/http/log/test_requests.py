import asyncio
import json
import logging
import os
import re
from collections.abc import Awaitable, Callable, Iterable

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runtime.errors import ModelOutputError
from serve.errors import REASON
from serve.http.log.faults import format_fault
from serve.http.log.handler import LogHandler
from serve.http.log.notes import note_model, note_stages
from serve.http.log.record import RequestRecord
from serve.http.log.requests import RequestLog

SECRET = "s3cret-of-a-client"


def call(
    app: ASGIApp,
    *,
    headers: Iterable[tuple[str, str]] = (),
    messages: Iterable[Message] = (),
    last: Callable[[], Awaitable[Message]] | None = None,
) -> tuple[list[Message], RequestRecord]:
    """Return what the application answers, and the record of the request."""
    answers: list[Message] = []
    records: list[RequestRecord] = []
    incoming = iter(messages)

    async def receive() -> Message:
        for message in incoming:
            return message
        return await last() if last else {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        answers.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": f"/{SECRET}",
        "query_string": SECRET.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in headers],
    }
    asyncio.run(RequestLog(app, records.append)(scope, receive, send))
    (record,) = records
    return answers, record


def answering(headers: Iterable[tuple[str, str]] = ()) -> ASGIApp:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        pairs = [(name.encode(), value.encode()) for name, value in headers]
        await send({"type": "http.response.start", "status": 200, "headers": pairs})
        await send({"type": "http.response.body", "body": b"12", "more_body": True})
        await send({"type": "http.response.body", "body": b"345"})

    return app


def test_a_record_counts_bytes_and_takes_the_model_from_the_answer() -> None:
    app = answering([("x-model", "m"), ("x-model-version", "3")])
    body: list[Message] = [
        {"type": "http.request", "body": b"1234", "more_body": True},
        {"type": "http.request", "body": b"56"},
    ]
    _, record = call(app, messages=body)
    assert (record.bytes_in, record.bytes_out, record.status) == (6, 5, 200)
    assert (record.model, record.version, record.left) == ("m", "3", False)
    assert record.stages_ms == {}
    assert record.route == "unknown"
    assert SECRET not in record.text() + record.json()


@pytest.mark.parametrize("text", ["abc-1", "A" * 64, "f81d4fae-7dec-11d0:a.b_c"])
def test_a_plain_id_of_the_client_is_kept(text: str) -> None:
    answers, record = call(answering(), headers=[("x-request-id", text)])
    assert record.request_id == text
    sent = [value for name, value in answers[0]["headers"] if name == b"x-request-id"]
    assert sent == [text.encode()]


@pytest.mark.parametrize("text", ["", "A" * 65, "a b", "a\n", "a\x1b[2J", "é", 'a"', "a=b", "{}"])
def test_another_id_is_replaced(text: str) -> None:
    ids = [call(answering(), headers=[("x-request-id", text)])[1].request_id for _ in range(2)]
    assert ids[0] != ids[1]
    assert all(len(one) == 16 and one.isalnum() for one in ids)


def test_a_client_that_leaves_is_noted() -> None:
    part: Message = {"type": "http.request", "body": b"1", "more_body": True}

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (await receive())["type"] == "http.request":
            pass

    _, record = call(app, messages=[part])
    assert record.left
    assert record.status is None
    assert " - " in record.text()
    assert record.text().endswith(" left")


def test_a_fault_is_answered_and_told_without_its_message(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        int(SECRET)

    answers, record = call(app, headers=[("x-request-id", "abc")])
    assert answers[0]["status"] == record.status == 500
    assert (b"x-request-id", b"abc") in answers[0]["headers"]
    assert answers[1]["body"] == b'{"error":"internal error"}'
    lines: list[str] = []
    for is_json in (False, True):
        for fault in caplog.records:
            LogHandler(lines.append, json=is_json).emit(fault)
    assert len(lines) == 2
    for line in lines:
        assert "request abc was not answered" in line
        assert "int(SECRET)" in line
        assert "ValueError (its message is left out)" in line
        assert SECRET not in line
    assert lines[1].startswith('{"time":"20')
    assert "\n" not in lines[1]


def test_a_fault_after_the_start_of_an_answer_is_raised() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise RuntimeError

    with pytest.raises(RuntimeError):
        call(app)


def raised(function: Callable[[], object]) -> Exception:
    try:
        function()
    except Exception as error:
        return error
    raise AssertionError


def test_causes_come_first_and_messages_that_hold_no_value_are_kept() -> None:
    def nested() -> None:
        try:
            int(SECRET)
        except ValueError as error:
            raise ModelOutputError("m returned values") from error

    text = format_fault(raised(nested))
    assert text.count("Traceback (most recent call last):") == 2
    assert text.index("ValueError (its") < text.index("runtime.errors.ModelOutputError: m returned")
    assert "FileNotFoundError: " in format_fault(raised(lambda: os.open("/nowhere", 0)))
    assert SECRET not in text


def test_a_long_chain_is_cut_and_a_circle_ends() -> None:
    first = error = raised(lambda: int(SECRET))
    for _ in range(50):
        error.__cause__ = raised(lambda: int(SECRET))
        error = error.__cause__
    assert format_fault(first).count("ValueError") == 8
    first.__cause__ = error
    error.__cause__ = first
    assert format_fault(first).count("ValueError") == 2


def test_notes_of_the_handlers_are_in_the_record() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        note_model(scope, "m", 7)
        note_stages(scope, {"queue": 0.0005, "run": 0.002})
        scope[REASON] = "queue"
        await answering()(scope, receive, send)

    _, record = call(app)
    stages = dict(record.stages_ms)
    assert stages.pop("receive") >= 0
    assert stages.pop("write") >= 0
    assert stages == {"queue": 0.5, "run": 2.0}
    assert (record.model, record.version, record.reason) == ("m", "7", "queue")
    assert " model=m/7 reason=queue id=" in record.text()


def test_waiting_for_the_client_to_leave_is_no_receiving() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        note_stages(scope, {"run": 1.0})
        await receive()
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    waited_s = 0.5

    async def slow_to_leave() -> Message:
        await asyncio.sleep(waited_s)
        return {"type": "http.disconnect"}

    _, record = call(app, messages=[{"type": "http.request", "body": b"1"}], last=slow_to_leave)
    assert record.stages_ms["receive"] < 1000 * waited_s


TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        (f"00-{TRACE}-{SPAN}-01", "01"),
        (f"00-{TRACE}-{SPAN}-00", "00"),
        (f"cc-{TRACE}-{SPAN}-03", "01"),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be", "01"),
    ],
)
def test_a_trace_is_in_the_record_and_answered_with_a_span_of_its_own(
    text: str, flags: str
) -> None:
    answers, record = call(answering(), headers=[("traceparent", text)])
    assert record.trace is not None
    assert (record.trace.id, record.trace.parent) == (TRACE, SPAN)
    span = record.trace.span
    assert re.fullmatch("[0-9a-f]{16}", span)
    assert span != SPAN
    response = dict(answers[0]["headers"])[b"traceresponse"].decode()
    assert response == f"00-{TRACE}-{span}-{flags}"
    assert f"trace={TRACE}" in record.text()
    line = json.loads(record.json())
    assert (line["trace_id"], line["parent_id"], line["span_id"]) == (TRACE, SPAN, span)


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [("traceparent", "")],
        [("traceparent", f"00-{TRACE}-{SPAN}-01-more")],  # version 00 has four fields
        [("traceparent", f"ff-{TRACE}-{SPAN}-01")],
        [("traceparent", f"00-{TRACE.upper()}-{SPAN}-01")],
        [("traceparent", f"00-{'0' * 32}-{SPAN}-01")],
        [("traceparent", f"00-{TRACE}-{'0' * 16}-01")],
        [("traceparent", f"00-{TRACE}-{SPAN}")],
        [("traceparent", f"00-{TRACE}-{SPAN}-01\n")],
        [("traceparent", f"cc-{TRACE}-{SPAN}-01-{'a' * 300}")],
        [("traceparent", f"00-{TRACE}-{SPAN}-01"), ("traceparent", f"00-{TRACE}-{SPAN}-01")],
    ],
)
def test_an_invalid_trace_is_ignored(headers: list[tuple[str, str]]) -> None:
    answers, record = call(answering(), headers=headers)
    assert record.trace is None
    assert b"traceresponse" not in [name for name, _ in answers[0]["headers"]]
    assert json.loads(record.json())["trace_id"] is None


def test_scopes_other_than_http_pass() -> None:
    types: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        types.append(scope["type"])

    async def nothing(*_: object) -> Message:
        return {}

    send: Callable[[Message], Awaitable[None]] = nothing  # type: ignore[assignment]
    asyncio.run(RequestLog(app)({"type": "lifespan"}, nothing, send))
    assert types == ["lifespan"]
    assert not logging.getLogger("serve.requests").isEnabledFor(logging.INFO)
