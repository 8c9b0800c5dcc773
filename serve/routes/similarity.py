"""POST /v1/similarity: how alike two images are, or one and many.

Its files, options and answer: serve/API.md.
"""

from collections.abc import Sequence
from typing import Any

from runtime.errors import InputError
from runtime.results import Embedding
from runtime.tasks import similarity as task
from serve.catalog.facts import facts_of
from serve.errors import naming, status_of
from serve.routes.endpoint import Call, Reply
from serve.text.quoting import quoted
from serve.uploads.parse import Form

MOST = 32  # images in one request, to be compared with the first
FORM = Form(("image_a", "image_b"), ("embeddings",), most=MOST, objects=True)
FLAGS = {"true": True, "1": True, "false": False, "0": False, "": False}


def similarity(call: Call) -> Reply:
    """By the model's embeddings."""
    text = call.upload.options.get("embeddings", "")
    flag = FLAGS.get(text.strip().lower())
    if flag is None:
        raise InputError(f"embeddings is {quoted(text)}; allowed: true, false")
    first, *others = call.upload.files
    with naming("image_a"):
        mine = task.embed(first, call.model, bounds=call.bounds)
    if len(others) > 1:
        return Reply(facts_of(call.model), _with_many(call, mine, others, embeddings=flag))
    with naming("image_b"):
        theirs = task.embed(others[0], call.model, bounds=call.bounds)
    result = task.similarity(mine, (theirs,), call.model, bounds=call.bounds)
    return Reply(facts_of(call.model), result.to_json(embeddings=flag))


def _with_many(
    call: Call, mine: Embedding, others: Sequence[bytes], *, embeddings: bool
) -> dict[str, Any]:
    """The answer with an error in the place of each image that cannot be compared.

    Raises:
        InputError: none of them can.
    """
    found = [_embedded(call, other) for other in others]
    made = {index: each for index, each in enumerate(found) if isinstance(each, Embedding)}
    if not made:
        with naming("image_b"):
            raise next(each for each in found if isinstance(each, InputError))
    result = task.similarity(mine, tuple(made.values()), call.model, bounds=call.bounds)
    compared = dict(zip(made, (each.to_json() for each in result.compared), strict=True))
    content = result.to_json(embeddings=embeddings)
    content["best"] = tuple(made)[result.best]
    content["compared"] = [
        {"error": str(each), "status": status_of(each)}
        if isinstance(each, InputError)
        else compared[index]
        for index, each in enumerate(found)
    ]
    if embeddings:
        kept = [each.to_json() if isinstance(each, Embedding) else None for each in found]
        content["embeddings"] = {"first": mine.to_json(), "others": kept}
    return content


def _embedded(call: Call, image: bytes) -> Embedding | InputError:
    try:
        return task.embed(image, call.model, bounds=call.bounds)
    except InputError as error:
        return error
