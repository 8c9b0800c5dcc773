"""Each change of a route, and what a rollback returns to."""

from pathlib import Path

import pytest

from runtime.errors import ArtifactError
from serve.commands.route import main
from serve.routing.changes import (
    drop_candidate,
    promote,
    rollback,
    set_candidate,
    set_default,
)
from serve.routing.commands import parse_share
from serve.routing.store import RoutingFile
from serve.routing.table import Candidate, Pin, Route
from tests.support.artifacts import CLASSIFIER, steeper, write_artifact

MODEL = "face_emotion_xception"
ONE, TWO, THREE = (Pin(number, f"{number}" * 64) for number in (1, 2, 3))
CANARY = Route(ONE, Candidate(2, TWO.digest, 0.1))


def test_a_canary_is_set_grows_and_is_promoted() -> None:
    route = set_candidate(None, TWO, 0.1, before=ONE)
    assert route == CANARY
    route = set_candidate(route, TWO, 0.5, before=None)
    assert route.candidate == Candidate(2, TWO.digest, 0.5)
    assert promote(route) == Route(TWO, previous=ONE)


def test_a_rollback_takes_the_traffic_from_the_version_that_got_it_last() -> None:
    assert rollback(CANARY) == Route(ONE)  # not version 1 with the candidate again
    promoted = promote(CANARY)
    back = rollback(promoted)
    assert back == Route(ONE, previous=TWO)
    assert rollback(back) == promoted
    assert rollback(set_default(None, TWO, before=ONE)) == back


def test_a_default_ends_the_candidate() -> None:
    assert set_default(CANARY, THREE, before=None) == Route(THREE, previous=ONE)
    assert set_default(CANARY, ONE, before=None) == Route(ONE)
    assert drop_candidate(CANARY) == Route(ONE)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda: rollback(None), "no version to roll back to"),
        (lambda: rollback(Route(ONE)), "no version to roll back to"),
        (lambda: promote(Route(ONE)), "no candidate"),
        (lambda: drop_candidate(None), "no candidate"),
        (lambda: set_candidate(Route(ONE), ONE, 0.1, before=None), "version 1 is the default"),
        (lambda: set_candidate(Route(ONE), TWO, 2, before=None), "share is 2; allowed: 0 to 1"),
        (lambda: set_candidate(None, TWO, 0.1, before=None), "set its default first"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(change, reason: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ArtifactError, match=reason):
        change()


def test_shares() -> None:
    assert [parse_share(text) for text in ("0", "10%", "0.1", " 100% ")] == [0, 0.1, 0.1, 1]
    for text in ("", "ten", "1.1", "-1%", "nan", "inf"):
        with pytest.raises(ArtifactError, match="allowed: 0 to 1, or 0% to 100%"):
            parse_share(text)


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_artifact(tmp_path, CLASSIFIER, version=1)
    write_artifact(tmp_path, CLASSIFIER, version=2, data=steeper(4))

    def route(*arguments: str) -> str:
        code = main(["--artifacts", str(tmp_path), *arguments])
        output = capsys.readouterr()
        return output.out if code == 0 else f"{code}: {output.err}"

    assert route("show") == f"{MODEL}: the newest version that loads; in the directory: 1, 2\n"
    assert "no complete version 3; it has 1, 2" in route("default", MODEL, "3")
    assert "no model id" in route("default", "../x", "3")
    # without a route the newest version serves
    assert route("default", MODEL, "1") == f"{MODEL}: version 1, before 2\n"
    digests = RoutingFile(tmp_path).read().models[MODEL]
    assert digests.default.digest != digests.previous.digest  # type: ignore[union-attr]
    assert "candidate 2 with 12.5000%" in route("candidate", MODEL, "2", "--share", "12.5%")
    assert "share is '2'" in route("candidate", MODEL, "2", "--share", "2")
    assert route("promote", MODEL) == f"{MODEL}: version 2, before 1\n"
    assert route("rollback", MODEL) == f"{MODEL}: version 1, before 2\n"
    assert route("drop", MODEL) == "1: route: the model has no candidate\n"
    assert route("newest", MODEL) == f"{MODEL}: the newest version that loads\n"
    (tmp_path / "routing.json").write_text("{}")
    assert "routing.json.schema_version is None" in route("show")
