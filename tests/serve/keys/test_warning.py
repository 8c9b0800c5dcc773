"""Others than this machine may use a server without keys: it says so."""

from dataclasses import replace
from pathlib import Path

import pytest

from serve.keys.warning import open_to_all
from serve.lifecycle.check import check
from serve.settings import Settings


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_a_server_that_others_reach(host: str) -> None:
    assert f"whoever reaches {host} port 8000" in open_to_all(Settings(host=host))
    assert not open_to_all(Settings(host=host, api_keys_file=Path("keys")))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "localhost"])
def test_a_server_of_this_machine(host: str) -> None:
    assert not open_to_all(Settings(host=host))


def test_the_check_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings, keys = Settings(artifacts=tmp_path, port=0), tmp_path / "keys"
    name = "keys".ljust(32)
    for case, line in (
        (replace(settings, host="0.0.0.0"), f"-       {name} WARNING: whoever"),
        (settings, f"-       {name} none is asked for"),
        (replace(settings, api_keys_file=keys), f"FAILED  {name} the API keys in {keys}"),
    ):
        assert check(case) == 1
        assert line in capsys.readouterr().out
    keys.write_text("")
    check(replace(settings, api_keys_file=keys))
    assert f"ok      {name} 0 in {keys}" in capsys.readouterr().out
