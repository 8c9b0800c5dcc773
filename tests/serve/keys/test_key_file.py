"""The file of API keys and the command that changes it."""

import hashlib
import stat
from pathlib import Path

import pytest

from serve.commands.key import main
from serve.keys.key_file import KeyFile, new_key
from serve.keys.ring import ADMINISTRATOR, KeyRing
from serve.settings import Settings, SettingsError

DIGEST = hashlib.sha256(b"a key").hexdigest()


def run(path: Path, *arguments: str) -> int:
    return main(["--file", str(path), *arguments])


def test_a_key_is_printed_once_and_only_its_hash_is_stored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new" / "keys"
    assert run(path, "create", "app") == 0
    assert run(path, "create", "phone") == 0
    app, phone = capsys.readouterr().out.split()
    assert len({app, phone, new_key()}) == 3
    assert len(app) == len("slipway_") + 43  # 256 bits in base64
    text = path.read_text()
    assert app not in text
    assert hashlib.sha256(app.encode()).hexdigest() in text
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert run(path, "list") == 0
    listed = capsys.readouterr().out
    assert [line.split()[0] for line in listed.splitlines()] == ["app", "phone"]
    assert app not in listed
    ring = KeyRing(Settings(api_keys_file=path))
    assert ring.owner_of([b"wrong", phone.encode()]) == "phone"
    assert run(path, "revoke", "phone") == 0
    assert ring.reload() == 1
    assert ring.owner_of([phone.encode()]) is None
    assert ring.owner_of([app.encode()]) == "app"
    assert [entry.name for entry in path.parent.iterdir()] == ["keys"]


def test_the_mode_of_a_file_that_is_replaced_stays(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("# of the group\n")
    path.chmod(0o640)
    assert run(path, "create", "app") == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("create", "app"), "has a key 'app'"),
        (("create", "an app"), "allowed: 1 to 64 letters"),
        (("revoke", "phone"), "has no key 'phone'; known: app"),
    ],
)
def test_a_refused_change_leaves_the_file_as_it_is(
    arguments: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "keys"
    path.write_text(f"{DIGEST} app\n")
    assert run(path, *arguments) == 1
    assert message in capsys.readouterr().err
    assert path.read_text() == f"{DIGEST} app\n"


def test_without_a_file_the_command_says_how_to_name_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("SLIPWAY_API_KEYS_FILE", raising=False)
    assert main(["list"]) == 1
    assert "allowed: --file FILE, or SLIPWAY_API_KEYS_FILE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a-key-in-clear app", "line 1 is wrong; allowed: 64 hexadecimal digits"),
        (f"{DIGEST} app\n{DIGEST} phone", "line 2 repeats"),
        (f"{DIGEST} *", "line 1 is wrong"),
        ("\xff", "not UTF-8"),
        ("#" * (2**20 + 1), "more than 1048576 bytes"),
    ],
)
def test_a_wrong_file_is_refused_without_showing_its_lines(
    text: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "keys"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(SettingsError, match=message) as refusal:
        KeyFile(path).read()
    assert "clear" not in str(refusal.value)


def test_a_ring_keeps_its_keys_when_the_file_breaks(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(f"{DIGEST} app\n")
    ring = KeyRing(Settings(api_keys_file=path))
    path.unlink()
    with pytest.raises(SettingsError, match="python -m serve key create NAME"):
        ring.reload()
    assert ring.owner_of([b"a key"]) == "app"


@pytest.mark.parametrize("setting", ["secret", f"sha256:{hashlib.sha256(b'secret').hexdigest()}"])
def test_the_administrator_is_known_by_a_key_or_its_hash(setting: str, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text("")
    ring = KeyRing(Settings(api_keys_file=path, admin_key=setting))
    assert ring.owner_of([b"secret"]) == ADMINISTRATOR
    assert ring.owner_of([setting.encode() + b"0"]) is None
    assert ring.owner_of([b""]) is None
