"""routing.json is read strictly and written whole."""

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from runtime.errors import ArtifactError
from serve.routing.choice import Choice
from serve.routing.store import MOST_BYTES, RoutingFile
from serve.routing.table import Candidate, Pin, Route, Routing, parse_routing, routing_text

ONE, TWO, THREE = (Pin(number, f"{number}" * 64) for number in (1, 2, 3))
CANDIDATE = {"version": 2, "digest": "2" * 64}
ROUTE = Route(ONE, Candidate(2, TWO.digest, 0.25), previous=THREE)


def content(**fields: Any) -> dict[str, Any]:
    """Return the JSON of a route with other fields; None removes one."""
    route = json.loads(routing_text(Routing({"model": ROUTE})))["models"]["model"] | fields
    route = {name: value for name, value in route.items() if value is not None}
    return {"schema_version": 1, "models": {"model": route}}


def test_what_is_written_is_read() -> None:
    routing = Routing({"model": ROUTE, "other": Route(TWO)})
    assert parse_routing(routing_text(routing), "routing.json") == routing
    assert parse_routing(json.dumps(content(x_note="why")), "routing.json").models == {
        "model": ROUTE
    }


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("{", r"routing\.json is not JSON"),
        ([], r"routing\.json\.schema_version is None; this server reads 1"),
        ({"schema_version": 2}, r"schema_version is 2; this server reads 1"),
        ({"schema_version": True}, r"schema_version is True"),
        ({"schema_version": 1, "modles": {}}, r"modles is not a known field"),
        (content(default=None), r"models\.model\.default is missing"),
        (content(default={"version": 1}), r"default\.digest is missing"),
        (content(default={"version": "1", "digest": "1" * 64}), r"default\.version is '1' \(str\)"),
        (content(default={"version": 0, "digest": "1" * 64}), r"default\.version is 0; allowed: 1"),
        (content(default={"version": 1, "digest": "1"}), r"digest is '1'; allowed: 64"),
        (content(previous={"version": 3, "digest": "G" * 64}), r"previous\.digest is 'GGG"),
        (content(candidate={**CANDIDATE, "share": 1.5}), r"share is 1\.5; allowed: 0 to 1"),
        (content(candidate={**CANDIDATE, "share": float("nan")}), r"share is nan"),
        (content(candidate={**CANDIDATE, "share": 10**400}), r"share has 401 digits; allowed"),
        (content(candidate={**CANDIDATE, "share": True}), r"share is 'True' \(bool\)"),
        (content(candidate={**CANDIDATE, "version": 1, "share": 0.5}), "version 1, as the"),
        (content(weight=1), r"weight is not a known field"),
        ({"schema_version": 1, "models": {"../x": content()["models"]["model"]}}, "no model id"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_with_its_place(data: Any, reason: str) -> None:
    text = data if isinstance(data, str) else json.dumps(data)
    with pytest.raises(ArtifactError, match=reason):
        parse_routing(text, "routing.json")


def test_an_absent_file_has_no_route_and_a_long_one_is_refused(tmp_path: Path) -> None:
    file = RoutingFile(tmp_path)
    assert (file.read(), file.stamp()) == (Routing(), None)
    file.path.write_bytes(b" " * (MOST_BYTES + 1))
    with pytest.raises(ArtifactError, match="more than 1048576 bytes"):
        file.read()
    file.path.write_bytes(b"\xff")
    with pytest.raises(ArtifactError, match="is not UTF-8"):
        file.read()


def test_what_is_no_file_is_refused_at_once(tmp_path: Path) -> None:
    file = RoutingFile(tmp_path)
    os.mkfifo(file.path)
    with pytest.raises(ArtifactError, match="is no file"):
        file.read()


def test_every_message_about_a_file_can_be_sent(tmp_path: Path) -> None:
    file = RoutingFile(tmp_path)
    for text in (
        r'{"schema_version": 1, "models": {"\ud800": {}}}',
        r'{"schema_version": "\ud800"}',
    ):
        file.path.write_text(text)
        with pytest.raises(ArtifactError, match="ud800") as raised:
            file.read()
        str(raised.value).encode()


def test_writers_wait_for_each_other_and_readers_see_whole_files(tmp_path: Path) -> None:
    file = RoutingFile(tmp_path)
    file.change(lambda routing: routing)
    wrong: list[Exception] = []
    ends = threading.Event()

    def add(number: int) -> None:
        for step in range(20):
            name = f"m{number}-{step}"
            file.change(lambda routing: Routing({**routing.models, name: ROUTE}))  # noqa: B023

    def read() -> None:
        while not ends.is_set():
            try:
                file.read()
            except ArtifactError as error:
                wrong.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    writers = [threading.Thread(target=add, args=(number,)) for number in range(4)]
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    ends.set()
    reader.join()
    assert wrong == []
    assert len(file.read().models) == 80  # none of the changes was lost


def test_a_change_that_is_refused_leaves_the_file(tmp_path: Path) -> None:
    file = RoutingFile(tmp_path)
    file.change(lambda _: Routing({"model": ROUTE}))
    stamp = file.stamp()

    def fail(routing: Routing) -> Routing:
        raise ArtifactError("no")

    with pytest.raises(ArtifactError, match="no"):
        file.change(fail)
    assert file.stamp() == stamp


def test_the_same_key_takes_the_same_version_and_the_share_is_kept() -> None:
    digest = "2" * 64
    keys = [Choice.of(f"user-{number}") for number in range(4000)]
    taken = [key.takes_candidate("model", digest, 0.1) for key in keys]
    assert taken == [key.takes_candidate("model", digest, 0.1) for key in keys]
    assert 320 <= sum(taken) <= 480  # four standard deviations
    more = [key.takes_candidate("model", digest, 0.5) for key in keys]
    assert all(later for now, later in zip(taken, more, strict=True) if now)
    other = [key.takes_candidate("model", "3" * 64, 0.1) for key in keys]
    assert other != taken  # not the same people for every candidate
    assert not any(key.takes_candidate("model", digest, 0.0) for key in keys)
    assert all(key.takes_candidate("model", digest, 1.0) for key in keys)


def test_without_a_key_each_request_draws_once() -> None:
    choices = [Choice.of(None) for _ in range(4000)]
    taken = [choice.takes_candidate("model", "2" * 64, 0.5) for choice in choices]
    assert taken == [choice.takes_candidate("model", "2" * 64, 0.5) for choice in choices]
    assert 1870 <= sum(taken) <= 2130
