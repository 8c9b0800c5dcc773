"""The commands that change the route of a model, for the command line and the server."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import ArtifactError
from serve.routing import changes
from serve.routing.pins import newest_pin, pin_of
from serve.routing.store import RoutingFile
from serve.routing.table import Pin, Route

# by name: what the command does
COMMANDS: Mapping[str, str] = {
    "default": "let one version answer all requests; a candidate ends",
    "candidate": "let a version answer a share of the requests",
    "drop": "end the candidate",
    "promote": "make the candidate the default version",
    "rollback": "end the candidate; without one, return to the default version before",
    "newest": "forget the route: the newest version that loads answers, as without one",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One command."""

    command: str
    model: str
    version: int | None = None  # of `default` and `candidate`
    share: float | None = None  # of `candidate`


def apply_change(file: RoutingFile, change: Change, *, served: Pin | None = None) -> Route | None:
    """Change the route of a model in routing.json; return the new one.

    Args:
        file: of the artifacts.
        change: the command.
        served: the version that answers now, for a model without a route; None: the newest one of
            the directory besides that of the change.

    Raises:
        ArtifactError: the command is unknown or does not fit the route, it lacks a version or has
            one too much, the directory does not hold the version, or the file cannot be written.
    """
    edit = _edit_of(file.artifacts, change, served)
    routing = file.change(
        lambda routing: changes.with_route(
            routing, change.model, edit(routing.models.get(change.model))
        )
    )
    return routing.models.get(change.model)


def _edit_of(
    artifacts: Path, change: Change, served: Pin | None
) -> Callable[[Route | None], Route | None]:
    command = change.command
    if command not in COMMANDS:
        raise ArtifactError(f"command is {command[:80]!r}; allowed: {', '.join(COMMANDS)}")
    _check_arguments(change)
    if command == "drop":
        return changes.drop_candidate
    if command == "promote":
        return changes.promote
    if command == "rollback":
        return changes.rollback
    if command == "newest":
        return lambda _: None
    assert change.version is not None  # by the check of the arguments
    pin = pin_of(artifacts, change.model, change.version)
    before = served or newest_pin(artifacts, change.model, but=change.version)
    share = change.share
    if share is None:
        return lambda route: changes.set_default(route, pin, before=before)
    return lambda route: changes.set_candidate(route, pin, share, before=before)


def _check_arguments(change: Change) -> None:
    command = change.command
    needs_version, needs_share = command in ("default", "candidate"), command == "candidate"
    for name, value, is_needed in (
        ("version", change.version, needs_version),
        ("share", change.share, needs_share),
    ):
        if is_needed and value is None:
            raise ArtifactError(f"{command} needs a {name}")
        if not is_needed and value is not None:
            raise ArtifactError(f"{command} takes no {name}")


def parse_share(text: str) -> float:
    """Return the share that a text names: 0.1 or 10%.

    Raises:
        ArtifactError: it names none from 0 to 1.
    """
    number = text.strip()
    is_percent = number.endswith("%")
    try:
        share = float(number.removesuffix("%")) / (100 if is_percent else 1)
    except ValueError:
        share = float("nan")
    if not 0 <= share <= 1:
        raise ArtifactError(f"share is {text[:80]!r}; allowed: 0 to 1, or 0% to 100%")
    return share
