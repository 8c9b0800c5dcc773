"""The end of a command whose output nobody reads, in a process of its own."""

import subprocess
import sys

import pytest

from tests.support.server_process import PROJECT

PROGRAM = """
import sys
from runtime.cli.pipes import until_closed

def command():
    {line}

sys.exit(until_closed(command))
"""
OTHER = "raise BrokenPipeError(32, 'of a connection')"


@pytest.mark.parametrize(
    ("line", "closed", "code"),
    [
        ("return print('text') or 3", "stdout", 141),
        ("return print('text', file=sys.stderr, flush=True) or 3", "stderr", 141),
        ("return print('text') or 3", "", 3),
        (OTHER, "", 1),
    ],
)
def test_only_standard_output_and_error_end_a_command(line: str, closed: str, code: int) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", "input()\n" + PROGRAM.format(line=line)],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    streams = {"stdout": process.stdout, "stderr": process.stderr}
    if closed:
        stream = streams[closed]
        assert stream is not None
        stream.close()
        # `communicate` would read it
        setattr(process, closed, None)
    _, error = process.communicate("\n", timeout=120)
    assert process.returncode == code
    assert ("of a connection" in (error or "")) == (line == OTHER)
