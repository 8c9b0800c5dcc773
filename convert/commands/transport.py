"""`pack`, `push` and `pull`: versions as a tar, and to and from an OCI registry."""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path

from runtime.errors import SlipwayError
from runtime.transport.credentials import find_credentials
from runtime.transport.limits import Limits
from runtime.transport.reference import SCHEME, Reference, parse_reference
from runtime.transport.registry import Registry
from runtime.transport.tar import pack, unpack
from runtime.transport.transfer import pull, push, resolve


def run(options: argparse.Namespace) -> int:
    """Run one of the three commands; return its exit code."""
    try:
        return _COMMANDS[options.command](options)
    except SlipwayError as error:
        print(f"convert: {error}", file=sys.stderr)
        return 1


def _pack(options: argparse.Namespace) -> int:
    items = pack(options.source, options.to, _limits(options))
    size = sum(item.size_bytes for item in items)
    print(f"{options.to}: {len(items)} files, {size} bytes")
    return 0


def _push(options: argparse.Namespace) -> int:
    registry = _registry(parse_reference(options.reference), options)
    print(push(options.source, registry, _say))
    return 0


def _pull(options: argparse.Namespace) -> int:
    if not options.source.startswith(SCHEME):
        unpack(Path(options.source), options.out, _limits(options), _say)
        return 0
    registry = _registry(parse_reference(options.source), options)
    digest, items = resolve(registry)
    pull(registry, digest, items, options.out, _say)
    print(registry.reference.at(digest))
    return 0


def _registry(reference: Reference, options: argparse.Namespace) -> Registry:
    credentials = find_credentials(reference.registry, os.environ)
    return Registry(reference, _limits(options), credentials, plain_http=options.plain_http)


def _limits(options: argparse.Namespace) -> Limits:
    return Limits(seconds=options.timeout, size_bytes=options.max_mib << 20)


def _say(line: str) -> None:
    print(f"convert: {line}", file=sys.stderr)


_COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "pack": _pack,
    "push": _push,
    "pull": _pull,
}
