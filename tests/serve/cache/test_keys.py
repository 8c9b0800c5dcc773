"""Keys differ where an answer may differ."""

from dataclasses import replace

import numpy as np

from serve.cache.keys import answer_key, run_key, settings_digest
from serve.settings import Settings

MODELS, OPTIONS, FILES = {"u2netp": "d1/int8/cpu"}, {"color": "fff"}, (b"file",)
DIGEST = settings_digest(Settings())
KEY = answer_key("/v1/background", MODELS, DIGEST, OPTIONS, FILES)


def test_an_equal_request_has_the_same_key() -> None:
    again = answer_key("/v1/background", dict(MODELS), DIGEST, dict(OPTIONS), [b"file"])
    assert again == KEY
    assert len(KEY) == 64


def test_another_request_has_another_key() -> None:
    others = [
        answer_key("/v1/similarity", MODELS, DIGEST, OPTIONS, FILES),
        answer_key("/v1/background", {"u2netp": "d2/int8/cpu"}, DIGEST, OPTIONS, FILES),
        answer_key("/v1/background", {"u2netp": "d1/float/cpu"}, DIGEST, OPTIONS, FILES),
        answer_key("/v1/background", {"u2netp": "failed"}, DIGEST, OPTIONS, FILES),
        answer_key("/v1/background", MODELS, b"", OPTIONS, FILES),
        answer_key("/v1/background", MODELS, DIGEST, {}, FILES),
        answer_key("/v1/background", MODELS, DIGEST, {"color": "ff0"}, FILES),
        answer_key("/v1/background", MODELS, DIGEST, OPTIONS, (b"file", b"")),
        answer_key("/v1/background", MODELS, DIGEST, OPTIONS, (b"fi", b"le")),
        # the words of one part in another
        answer_key("/v1/background", {**MODELS, "color": "fff"}, DIGEST, {}, FILES),
    ]
    assert len({KEY, *others}) == len(others) + 1


def test_settings_that_change_answers_change_the_digest_and_others_do_not() -> None:
    settings = Settings()
    assert settings_digest(replace(settings, background_max_side_px=512)) != DIGEST
    assert settings_digest(replace(settings, max_pixels=1000)) != DIGEST
    same = replace(settings, port=1, redis_url="redis://a", admin_key="secret", cache_mib=1)
    assert settings_digest(same) == DIGEST


def test_the_key_of_a_run_is_its_input() -> None:
    image = np.arange(12, dtype=np.uint8).reshape(1, 2, 6)
    key = run_key("m", {"image": image}, ["a", "b"])
    assert run_key("m", {"image": np.asfortranarray(image)}, ["a", "b"]) == key
    others = [
        run_key("n", {"image": image}, ["a", "b"]),
        run_key("m", {"image": image}, ["b", "a"]),
        run_key("m", {"image": image + 1}, ["a", "b"]),
        run_key("m", {"image": image.reshape(1, 6, 2)}, ["a", "b"]),
        run_key("m", {"image": image.view(np.int8)}, ["a", "b"]),
        run_key("m", {"mask": image}, ["a", "b"]),
    ]
    assert len({key, *others}) == len(others) + 1
