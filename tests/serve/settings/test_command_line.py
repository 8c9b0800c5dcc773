import pytest

from serve.settings import Settings, from_environment
from serve.settings.command_line import parse_arguments
from serve.settings.kinds import FLAG, SWITCH
from serve.settings.table import TABLE, default_text


def test_every_setting_has_a_flag_that_overrides_its_variable() -> None:
    for name, setting in TABLE.items():
        text = default_text(name)
        overrides = parse_arguments([setting.flag, text]).overrides
        assert overrides == {setting.variable: text}
    flags = [setting.flag for setting in TABLE.values()]
    assert len(set(flags)) == len(flags)
    assert {"--artifacts", "--host", "--port", "--max-upload-size", "--queue"} <= set(flags)


def test_no_flag_changes_nothing() -> None:
    assert from_environment(parse_arguments([]).overrides) == Settings()


def test_a_flag_of_0_or_1_stands_for_1_alone() -> None:
    switches = [setting for setting in TABLE.values() if setting.kind in (FLAG, SWITCH)]
    assert switches
    for setting in switches:
        assert parse_arguments([setting.flag]).overrides == {setting.variable: "1"}


def test_the_help_names_each_variable_and_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_arguments(["--help"])
    words = "".join(capsys.readouterr().out.split())  # argparse breaks lines within words
    for name, setting in TABLE.items():
        assert f"({setting.variable},default{default_text(name)})".replace(" ", "") in words
