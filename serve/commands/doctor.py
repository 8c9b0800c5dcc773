"""`python -m serve doctor`: write a debug bundle without secrets and payloads."""

import argparse
import io
import json
import os
import sys
import tarfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from serve.commands.bundle.artifacts import named_content
from serve.commands.bundle.log_lines import last_lines
from serve.commands.bundle.masking import mask, secrets_of, settings_content
from serve.commands.bundle.server_answers import ask
from serve.commands.bundle.system import limits_content, versions_content
from serve.settings.kinds import ARTIFACTS

_SUFFIX = ".tar.gz"


class DoctorError(Exception):
    """The bundle cannot be written; the message says why."""


def main(arguments: Sequence[str]) -> int:
    """Write the bundle and print the names of its files.

    Returns:
        0; 1 if a file cannot be read or written.
    """
    options = _parser().parse_args(arguments)
    try:
        secrets = secrets_of(os.environ)
        key = _read_key(options.key_file)
        if key:
            secrets.insert(0, key)
        files = {name: mask(text, secrets) for name, text in _files(options, key)}
        _write(options.output, files)
    except (DoctorError, OSError) as error:
        print(f"doctor: {error}", file=sys.stderr)
        return 1
    for name, text in files.items():
        print(f"{len(text.encode()):>9} bytes  {name}")
    print(f"written to {options.output}; read it before you send it")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m serve doctor",
        description=__doc__,
        epilog="Settings are those of the environment: run it with that of the server.",
    )
    parser.add_argument(
        "--output",
        type=Path,
        default=Path(f"slipway-debug{_SUFFIX}"),
        help=f"a new file *{_SUFFIX}, or a new directory (default: %(default)s)",
    )
    parser.add_argument("--url", help="of a running server, to ask for its figures")
    parser.add_argument(
        "--key-file", type=Path, help="a file with an API key for that server, and nothing else"
    )
    parser.add_argument("--log", type=Path, help="the server's log, whose last lines are taken")
    parser.add_argument(
        "--verify", action="store_true", help="compute the hashes of all files of the artifacts"
    )
    parser.add_argument(
        "--artifacts",
        metavar=ARTIFACTS.metavar,
        default=os.environ.get("SLIPWAY_ARTIFACTS") or "artifacts",
        help="directory of the models, or oci://... of a registry (default: SLIPWAY_ARTIFACTS, or "
        "artifacts)",
    )
    return parser


def _read_key(path: Path | None) -> str:
    if path is None:
        return ""
    key = path.read_text(encoding="ascii", errors="replace").strip()
    if not key or not key.isprintable() or len(key.split()) != 1:
        raise DoctorError(f"{path} holds no key; allowed: one word")
    return key


def _files(options: argparse.Namespace, key: str) -> Iterator[tuple[str, str]]:
    artifacts = named_content(options.artifacts, os.environ, verify=options.verify)
    contents = {
        "versions.json": versions_content(),
        "settings.json": settings_content(os.environ),
        "limits.json": limits_content(),
        "artifacts.json": artifacts,
    }
    for name, content in contents.items():
        yield name, json.dumps(content, indent=1) + "\n"
    if options.url:
        yield from ask(options.url, key)
    if options.log:
        yield "log.txt", "\n".join(last_lines(options.log)) + "\n"


def _write(output: Path, files: Mapping[str, str]) -> None:
    """Write the files, readable by their owner alone.

    Raises:
        DoctorError: the output exists.
        OSError: it cannot be written.
    """
    if output.exists():
        raise DoctorError(f"{output} exists; allowed: a new file or directory")
    if output.name.endswith(_SUFFIX):
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        with (
            os.fdopen(os.open(output, flags, 0o600), "wb") as stream,
            tarfile.open(fileobj=stream, mode="w:gz") as archive,
        ):
            for name, text in files.items():
                data = text.encode()
                entry = tarfile.TarInfo(f"slipway-debug/{name}")
                entry.size, entry.mode, entry.mtime = len(data), 0o600, int(time.time())
                archive.addfile(entry, io.BytesIO(data))
        return
    output.mkdir(mode=0o700)
    for name, text in files.items():
        path = output / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.write_text(text, encoding="utf-8")
