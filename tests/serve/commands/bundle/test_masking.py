from serve.commands.bundle.masking import mask, secrets_of, settings_content
from serve.keys.key_file import new_key


def test_a_secret_is_masked_however_short_it_is() -> None:
    settings = settings_content({"SLIPWAY_ADMIN_KEY": "abc"})["settings"]
    assert settings["SLIPWAY_ADMIN_KEY"] == {"value": "***", "allowed": True}


def test_passwords_in_addresses_are_secrets_of_their_own() -> None:
    secrets = secrets_of({"SLIPWAY_REDIS_URL": "redis://user:pass%2Fword@cache"})
    assert {"pass%2Fword", "pass/word"} <= set(secrets)
    assert mask("AUTH pass/word", secrets) == "AUTH ***"


def test_what_looks_like_a_credential_is_masked() -> None:
    assert mask(f"rejected {new_key()}.", ()) == "rejected ***."
    assert mask("Authorization: Bearer a.b-c", ()) == "Authorization: Bearer ***"
    assert mask("X-API-Key: abc, next", ()) == "X-API-Key: ***, next"
    assert mask("http://user:pass@host/", ()) == "http://***@host/"


def test_names_of_metrics_stay() -> None:
    line = 'slipway_connection_refusals_total{status="431"} 2'
    assert mask(line, ()) == line


def test_secrets_of_other_programs_are_masked_by_their_value() -> None:
    secrets = secrets_of({"SLIPWAY_REGISTRY_PASSWORD": "registry-4711", "HOME": "/root"})
    assert secrets == ["registry-4711"]
