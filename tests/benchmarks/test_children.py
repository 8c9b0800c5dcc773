from dataclasses import fields

import pytest

from benchmarks.children import SETTINGS, environment_without_settings, run_module, run_python
from benchmarks.errors import BenchmarkError
from serve.settings import Settings
from serve.settings.setting import KEY


def test_arguments_reach_the_process_and_its_output_is_returned() -> None:
    assert run_python("import sys, runtime; print(sys.argv[1:])", "a b", "c") == "['a b', 'c']\n"


def test_a_failure_quotes_standard_error() -> None:
    with pytest.raises(BenchmarkError, match=r"ended with 3: no luck"):
        run_python("import sys; print('no luck', file=sys.stderr); sys.exit(3)")


def test_a_process_that_takes_too_long_is_killed() -> None:
    with pytest.raises(BenchmarkError, match=r"took longer than 0\.5 s"):
        run_python("import time; time.sleep(60)", timeout_s=0.5)


def test_a_module_is_run() -> None:
    assert run_module("base64", "-t").startswith("b'Aladdin")


def test_no_setting_of_the_server_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {field.metadata[KEY].variable for field in fields(Settings)}
    assert {name for name in variables if not name.startswith("SLIPWAY_")} == SETTINGS
    for name in variables:
        monkeypatch.setenv(name, "1")
    environment = environment_without_settings()
    assert variables.isdisjoint(environment)
    assert "PATH" in environment
