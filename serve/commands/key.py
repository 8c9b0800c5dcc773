"""`python -m serve key`: make, list and revoke API keys."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from runtime.errors import SlipwayError
from serve.keys.key_file import NAME, KeyFile, digest_of, new_key
from serve.settings.kinds import SettingsError

VARIABLE = "SLIPWAY_API_KEYS_FILE"
RELOAD = "a running server reads the keys again at SIGHUP"


def main(arguments: Sequence[str]) -> int:
    """Change or show the file of API keys. A new key is printed once, on standard output.

    Returns:
        0; 1 if the file or the change is refused.
    """
    options = _parser().parse_args(arguments)
    try:
        file = KeyFile(_path_of(options))
        if options.command == "list":
            for name, digest in file.read().items():
                print(f"{name}  sha256 {digest[:12]}...")
        elif options.command == "create":
            _create(file, options.name)
        else:
            _revoke(file, options.name)
    except SlipwayError as error:
        print(f"key: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m serve key", description=__doc__)
    parser.add_argument(
        "--file", type=Path, help=f"the file of the keys' hashes (default: {VARIABLE})"
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="print the names of the keys, and the start of each hash")
    for name, text in (
        ("create", "print a new key, and store its hash with a name"),
        ("revoke", "remove a key"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("name", help="of the key: who has it")
    return parser


def _path_of(options: argparse.Namespace) -> Path:
    path: Path | None = options.file
    variable = os.environ.get(VARIABLE)
    if path is None and not variable:
        raise SettingsError(f"no file is named; allowed: --file FILE, or {VARIABLE}")
    return path or Path(variable or "")


def _create(file: KeyFile, name: str) -> None:
    if not NAME.fullmatch(name):
        raise SettingsError(f"the name is {name!r}; allowed: 1 to 64 letters, digits and . _ -")
    key = new_key()

    def add(digests: dict[str, str]) -> dict[str, str]:
        if name in digests:
            raise SettingsError(f"{file.path} has a key {name!r}; allowed: a new name")
        return {**digests, name: digest_of(key.encode())}

    file.change(add)
    print(key)
    print(f"this key is shown once; {RELOAD}", file=sys.stderr)


def _revoke(file: KeyFile, name: str) -> None:
    def remove(digests: dict[str, str]) -> dict[str, str]:
        if name not in digests:
            names = ", ".join(digests) or "none"
            raise SettingsError(f"{file.path} has no key {name!r}; known: {names}")
        del digests[name]
        return digests

    file.change(remove)
    print(f"{name} is revoked; {RELOAD}", file=sys.stderr)
