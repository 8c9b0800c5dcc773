"""`python -m serve route`: show and change which version of a model answers."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from runtime.artifact.manifest import versions
from runtime.errors import SlipwayError
from serve.routing.commands import COMMANDS, Change, apply_change, parse_share
from serve.routing.store import RoutingFile
from serve.routing.table import Route, Routing

_WITH_VERSION = ("default", "candidate")


def main(arguments: Sequence[str]) -> int:
    """Change or show artifacts/routing.json; running servers follow within a second or two.

    Returns:
        0; 1 if the file or the change is refused.
    """
    options = _parser().parse_args(arguments)
    file = RoutingFile(options.artifacts)
    try:
        if options.command == "show":
            _show(file, file.read())
            return 0
        route = apply_change(file, _change_of(options))
    except SlipwayError as error:
        print(f"route: {error}", file=sys.stderr)
        return 1
    print(f"{options.model}: {_line(route)}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m serve route", description=__doc__)
    parser.add_argument(
        "--artifacts",
        type=Path,
        default=Path(os.environ.get("SLIPWAY_ARTIFACTS") or "artifacts"),
        help="directory of the models (default: SLIPWAY_ARTIFACTS, or artifacts)",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("show", help="print the route and the versions of each model")
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text)
        command.add_argument("model", help="id of the model")
        if name in _WITH_VERSION:
            command.add_argument("version", type=int, help="number of the version")
        if name == "candidate":
            command.add_argument("--share", required=True, help="of the requests: 0.1 or 10%%")
    return parser


def _change_of(options: argparse.Namespace) -> Change:
    share = parse_share(options.share) if options.command == "candidate" else None
    version = options.version if options.command in _WITH_VERSION else None
    return Change(options.command, options.model, version, share)


def _show(file: RoutingFile, routing: Routing) -> None:
    directories = file.artifacts.iterdir() if file.artifacts.is_dir() else ()
    held = {path.name: [one.name for one in versions(path)] for path in directories}
    models = {name for name, numbers in held.items() if numbers} | routing.models.keys()
    for name in sorted(models):
        numbers = ", ".join(held.get(name, ())) or "none"
        print(f"{name}: {_line(routing.models.get(name))}; in the directory: {numbers}")


def _line(route: Route | None) -> str:
    if route is None:
        return "the newest version that loads"
    parts = [f"version {route.default.version}"]
    if route.candidate:
        parts.append(f"candidate {route.candidate.version} with {route.candidate.share:.4%}")
    if route.previous:
        parts.append(f"before {route.previous.version}")
    return ", ".join(parts)
