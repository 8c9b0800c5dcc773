"""The examples of serve/API.md, which a test holds equal to examples.json."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import orjson

from serve.openapi.operation import Key
from serve.openapi.schema import Json

PATH = Path(__file__).with_name("examples.json")


def read_examples() -> Mapping[Key, Sequence[Json]]:
    """Return the examples of each operation: the request as `summary`, the answer as `value`."""
    content = orjson.loads(PATH.read_bytes())
    return {(method, path): examples for method, path, examples in content}
