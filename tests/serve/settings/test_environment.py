from pathlib import Path

import pytest

from serve.settings import Settings, SettingsError, from_environment
from serve.settings.environment import unknown_variables
from serve.settings.kinds import Selection
from serve.settings.profile import FRUGAL
from serve.settings.table import TABLE


def test_without_variables_the_settings_are_the_defaults() -> None:
    assert from_environment({}) == Settings()


def test_an_empty_variable_is_an_unset_one() -> None:
    assert from_environment({"PORT": "", "CORS_ORIGINS": "", "SLIPWAY_HOST": ""}) == Settings()


def test_every_variable_is_read() -> None:
    environ = {
        "PORT": "9000",
        "MAX_UPLOAD_SIZE": "1024",
        "CORS_ORIGINS": "https://a.example, http://b.example:8080",
        "CORS_HEADERS": "X-Api-Key, traceparent",
        "TIMEOUT": "5",
        "SLIPWAY_KEEP_ALIVE": "6",
        "SLIPWAY_HOST": "0.0.0.0",
        "SLIPWAY_ARTIFACTS": "/models",
        "SLIPWAY_ALLOW_SEEDED": "1",
        "SLIPWAY_BACKGROUND_MAX_SIDE": "512",
        "SLIPWAY_BACKGROUND_SIDE_LIMIT": "2048",
        "SLIPWAY_THREADS": "2",
        "SLIPWAY_MAX_PIXELS": "1000000",
        "SLIPWAY_QUEUE": "3",
        "SLIPWAY_FACE_EMOTION_MODEL": "faces",
        "SLIPWAY_FACE_EMOTION_WEIGHTS": "one:0.75, other",
        "SLIPWAY_FACE_DETECTOR_MODEL": "finder",
        "SLIPWAY_SIMILARITY_MODEL": "pairs",
        "SLIPWAY_BACKGROUND_MODEL": "masks",
        "SLIPWAY_VOICE_EMOTION_MODEL": "voices",
        "SLIPWAY_GAIT_MODEL": "walks",
        "SLIPWAY_MAX_AUDIO_SECONDS": "7",
        "SLIPWAY_MAX_VIDEO_SECONDS": "8",
        "SLIPWAY_DECODE_TIMEOUT": "9",
        "CHUNK_SIZE": "4",
        "SLIPWAY_PROVIDERS": "CUDA, openvino",
        "DISABLE_GPU": "True",
        "SLIPWAY_RUNS": "3",
        "SLIPWAY_MEMORY_MIB": "512",
        "SLIPWAY_IDLE_SECONDS": "600",
        "SLIPWAY_DECODERS": "2",
        "WORKERS": "4",
    }
    assert from_environment(environ) == Settings(
        artifacts=Path("/models"),
        host="0.0.0.0",
        port=9000,
        max_upload_bytes=1024,
        cors_origins=("https://a.example", "http://b.example:8080"),
        cors_headers=("X-Api-Key", "traceparent"),
        timeout_s=5,
        keep_alive_s=6,
        allow_seeded=True,
        background_max_side_px=512,
        background_side_limit_px=2048,
        runs=3,
        memory_mib=512,
        idle_s=600,
        decoders=2,
        workers=4,
        threads=2,
        max_pixels=1_000_000,
        queue=3,
        face_emotion_model="faces",
        face_emotion_weights=(("one", 0.75), ("other", 1.0)),
        face_detector_model="finder",
        similarity_model="pairs",
        background_model="masks",
        voice_emotion_model="voices",
        gait_model="walks",
        max_audio_s=7,
        max_video_s=8,
        chunk_size=4,
        decode_timeout_s=9,
        providers=("cuda", "openvino"),
        disable_gpu=True,
    )


def test_a_face_model_named_alone_replaces_the_ensemble() -> None:
    assert from_environment({"SLIPWAY_FACE_EMOTION_MODEL": "mine"}).face_emotion_weights == ()
    assert len(from_environment({}).face_emotion_weights) == 3


@pytest.mark.parametrize(
    ("name", "value", "allowed"),
    [
        ("PORT", "80a", "0 to 65535"),
        ("PORT", "65536", "0 to 65535"),
        ("PORT", "-1", "0 to 65535"),
        ("SLIPWAY_PROVIDERS", "gpu", "tensorrt, cuda, openvino, cpu, separated by commas"),
        ("SLIPWAY_PROVIDERS", ",", "tensorrt, cuda, openvino, cpu, separated by commas"),
        ("DISABLE_GPU", "yes", "0 or 1, false or true"),
        ("MAX_UPLOAD_SIZE", "10MB", "an integer, 1 to"),
        ("MAX_UPLOAD_SIZE", "0", "an integer, 1 to"),
        ("MAX_UPLOAD_SIZE", "9" * 5000, "an integer, 1 to"),
        ("TIMEOUT", "0", "1 to 3600"),
        ("SLIPWAY_MAX_AUDIO_SECONDS", "0", "1 to 3600"),
        ("SLIPWAY_MAX_VIDEO_SECONDS", "1.5", "1 to 3600"),
        ("CHUNK_SIZE", "0", "1 to 65536"),
        ("SLIPWAY_GAIT_MODEL", "Gait", "a model id"),
        ("SLIPWAY_FACE_EMOTION_WEIGHTS", "one:2,one:3", "allowed: once"),
        ("SLIPWAY_FACE_EMOTION_WEIGHTS", "one=2", "model:weight"),
        ("CORS_ORIGINS", "example.com", "scheme://host"),
        ("CORS_HEADERS", "X Two", "names of headers, or"),
        ("CORS_ORIGINS", "https://a.example/path", "scheme://host"),
        ("SLIPWAY_ALLOW_SEEDED", "yes", "0 or 1"),
        ("SLIPWAY_THREADS", "0", "1 to 256"),
        ("SLIPWAY_THREADS", "٣", "1 to 256"),
        ("SLIPWAY_BACKGROUND_MODEL", "../x", "a model id"),
    ],
)
def test_an_ill_formed_value_is_refused_with_its_variable(
    name: str, value: str, allowed: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        from_environment({name: value})
    message = str(caught.value)
    assert message.startswith(name)
    assert repr(value) in message
    assert allowed in message


def test_all_ill_formed_values_are_named_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        from_environment({"PORT": "x", "SLIPWAY_QUEUE": "-1", "SLIPWAY_HOST": "::"})
    assert str(caught.value).splitlines() == [
        "PORT is 'x'; allowed: an integer, 0 to 65535",
        "SLIPWAY_QUEUE is '-1'; allowed: an integer, 0 to 65536",
    ]


def test_each_default_is_the_value_of_its_text() -> None:
    for name, setting in TABLE.items():
        value = getattr(Settings(), name)
        if text := setting.kind.format(value):
            assert setting.kind.read(setting.variable, text) == value


def test_an_unknown_variable_is_named_with_the_nearest_setting() -> None:
    environ = {
        "SLIPWAY_QEUE": "3",
        "SLIPWAY_TIMEOUT": "3",
        "SLIPWAY_PORT": "9000",
        "SLIPWAY_ZZZ": "1",
        "SLIPWAY_QUEUE": "3",
        "SLIPWAY_OFFLINE": "1",
        "HOME": "/",
    }
    assert unknown_variables(environ) == [
        "SLIPWAY_PORT is no setting; PORT is; it is ignored",
        "SLIPWAY_QEUE is no setting; the nearest is SLIPWAY_QUEUE; it is ignored",
        "SLIPWAY_TIMEOUT is no setting; TIMEOUT is; it is ignored",
        "SLIPWAY_ZZZ is no setting; it is ignored",
    ]


def test_the_variables_of_a_kubernetes_service_named_slipway_are_no_typing_errors() -> None:
    environ = {
        "SLIPWAY_SERVICE_HOST": "10.0.0.1",
        "SLIPWAY_SERVICE_PORT": "80",
        "SLIPWAY_SERVICE_PORT_HTTP": "80",
        "SLIPWAY_PORT": "tcp://10.0.0.1:80",
        "SLIPWAY_PORT_80_TCP": "tcp://10.0.0.1:80",
        "SLIPWAY_PORT_80_TCP_ADDR": "10.0.0.1",
    }
    assert unknown_variables(environ) == []


@pytest.mark.parametrize(
    "environ",
    [
        {"MEMORY_CONSTRAINED": "1"},
        {"MEMORY_CONSTRAINED": "True"},
        {"RAILWAY_ENVIRONMENT_NAME": "production"},
    ],
)
def test_earlier_names_choose_the_frugal_profile(environ: dict[str, str]) -> None:
    assert from_environment(environ) == Settings(**FRUGAL)
    explicit = from_environment({**environ, "SLIPWAY_RUNS": "2", "SLIPWAY_LAZY": "none"})
    assert explicit == Settings(**{**FRUGAL, "runs": 2, "lazy": Selection()})


@pytest.mark.parametrize(
    "environ",
    [
        {"RAILWAY_ENVIRONMENT_NAME": ""},
        {"MEMORY_CONSTRAINED": "0"},
        {"MEMORY_CONSTRAINED": "false", "RAILWAY_ENVIRONMENT_NAME": "production"},
    ],
)
def test_without_them_the_profile_is_the_usual_one(environ: dict[str, str]) -> None:
    assert from_environment(environ) == Settings()


def test_an_ill_formed_choice_of_the_profile_is_named() -> None:
    with pytest.raises(SettingsError, match="MEMORY_CONSTRAINED is 'yes'; allowed: 0 or 1"):
        from_environment({"MEMORY_CONSTRAINED": "yes"})


def test_the_frugal_profile_has_fields_and_other_values() -> None:
    usual = Settings()
    same = {name for name, value in FRUGAL.items() if getattr(usual, name) == value}
    assert same == {"background_model"}


@pytest.mark.parametrize("text", ["0", "65", "two", "-1"])
def test_a_wrong_number_of_workers_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^WORKERS is .*; allowed: an integer, 1 to 64$"):
        from_environment({"WORKERS": text})


def test_the_frugal_profile_has_one_worker_whatever_is_set() -> None:
    assert from_environment({"MEMORY_CONSTRAINED": "1", "WORKERS": "4"}).workers == 1


def test_workers_share_what_the_server_may_take() -> None:
    settings = Settings(workers=3, queue=512, jobs=2, decoders=0, memory_mib=1000)
    shares = [settings.for_worker(number, cpus=4) for number in range(3)]
    assert [share.runs for share in shares] == [2, 1, 1]
    assert sum(share.queue for share in shares) == 512
    assert [share.jobs for share in shares] == [1, 1, 1]  # a share is at least 1
    assert [share.decoders for share in shares] == [0, 0, 0]  # as many as there are CPUs
    assert sum(share.memory_mib for share in shares) == 1000
    assert [share.max_upload_bytes for share in shares] == [settings.max_upload_bytes] * 3
