import httpx
import pytest

from serve.text.messages import repr_truncated, truncate
from tests.support.images import solid
from tests.support.memory import peak_bytes

LONG = "x" * 5000
INFER = "/v2/models/tiny_slow/infer"


def test_only_long_texts_are_truncated() -> None:
    assert truncate("x" * 200) == "x" * 200
    assert truncate("x" * 201) == "x" * 200 + "..."
    assert repr_truncated("a'b") == repr("a'b")
    assert repr_truncated([1] * 100) == repr([1] * 100)[:200] + "..."


@pytest.mark.parametrize(
    ("path", "headers", "body"),
    [
        (f"/{LONG}", {}, b"x"),
        (f"/v1/models/{LONG}", {}, b"x"),
        (f"/v2/models/tiny_slow/versions/{LONG}/infer", {}, b"x"),
        (f"/v1/background?color={LONG}", {}, solid(0, 0, 0)),
        (f"/v1/background?format={LONG}", {}, solid(0, 0, 0)),
        (f"/v1/background?{LONG}=1", {}, solid(0, 0, 0)),
        ("/v1/face-emotion", {"Content-Encoding": LONG}, b"x"),
        ("/v1/face-emotion", {"Content-Type": f"multipart/{LONG}"}, b"x"),
        ("/v1/face-emotion", {"Content-Type": "application/json"}, f'{{"{LONG}":1}}'.encode()),
        ("/v1/face-emotion", {"Content-Type": "application/json"}, f'{{"{LONG}":""}}'.encode()),
        (INFER, {}, f'{{"id":["{LONG}"]}}'.encode()),
        (INFER, {}, f'{{"inputs":[{{"name":"{LONG}"}}]}}'.encode()),
        (INFER, {"Inference-Header-Content-Length": LONG}, b"x"),
    ],
)
def test_no_error_repeats_a_long_value(
    client: httpx.Client, path: str, headers: dict[str, str], body: bytes
) -> None:
    response = client.post(path, headers=headers, content=body)
    assert 400 <= response.status_code < 500
    error, _, _ = response.json()["error"].partition("; known: ")  # then every route or model
    assert len(error) < 400


def test_the_repr_of_a_long_value_is_not_made() -> None:
    for value in (
        [1] * 500_000,
        {"a": [1] * 500_000},
        "x" * 500_000,
        dict.fromkeys(range(500_000)),
    ):
        assert peak_bytes(lambda value=value: repr_truncated(value)) < 100_000  # type: ignore[misc]
