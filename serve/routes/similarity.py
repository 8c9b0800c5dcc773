"""POST /v1/similarity: the similarity of two images, or of one and several others.

Its files, options and answer: serve/API.md.
"""

from collections.abc import Sequence

from runtime import Model
from runtime.errors import InputError
from runtime.results import Embedding
from runtime.tasks import similarity as task
from runtime.tasks.similarity import SimilarityJson
from serve.errors import error_context, status_of
from serve.repository.provenance import provenance_of
from serve.routes.endpoint import JsonReply, RequestContext
from serve.uploads.form import Form
from serve.uploads.options import flag, without_blanks

MOST = 32  # images that one request compares with the first
EMBEDDINGS = flag(
    "embeddings", default=False, help="`true`: add the embeddings of all images to the answer"
)
FORM = Form(("image_a", "image_b"), (EMBEDDINGS,), most=MOST, objects=True)


def similarity(context: RequestContext, model: Model) -> JsonReply:
    """Answer with the cosine of the images' embeddings, and the score if it is calibrated."""
    embeddings = EMBEDDINGS.read(without_blanks(context.upload.options))
    first, *others = context.upload.files
    with error_context("image_a"):
        first_embedding = task.embed(first, model, bounds=context.bounds)
    if len(others) > 1:
        result, warnings = _compare_many(
            context, model, first_embedding, others, embeddings=embeddings
        )
        return JsonReply(provenance_of(model, warnings), result)
    with error_context("image_b"):
        other_embedding = task.embed(others[0], model, bounds=context.bounds)
    pair = task.similarity(first_embedding, (other_embedding,), model, bounds=context.bounds)
    return JsonReply(provenance_of(model, pair.warnings), pair.to_json(embeddings=embeddings))


def _compare_many(
    context: RequestContext,
    model: Model,
    first: Embedding,
    others: Sequence[bytes],
    *,
    embeddings: bool,
) -> tuple[SimilarityJson, tuple[str, ...]]:
    """Return the result for several images, and the warnings about their files.

    An image that cannot be compared appears as its error.

    Raises:
        InputError: none of them can be compared.
    """
    outcomes = [_embed_or_error(context, model, image) for image in others]
    embedded = {i: outcome for i, outcome in enumerate(outcomes) if isinstance(outcome, Embedding)}
    if not embedded:
        with error_context("image_b"):
            raise next(outcome for outcome in outcomes if isinstance(outcome, InputError))
    result = task.similarity(first, tuple(embedded.values()), model, bounds=context.bounds)
    compared = dict(zip(embedded, (pair.to_json() for pair in result.compared), strict=True))
    content = result.to_json(embeddings=embeddings)
    content["best"] = tuple(embedded)[result.best]
    content["compared"] = [
        {"error": str(outcome), "status": status_of(outcome)}
        if isinstance(outcome, InputError)
        else compared[index]
        for index, outcome in enumerate(outcomes)
    ]
    if embeddings:
        listed = [
            None if isinstance(outcome, InputError) else outcome.to_json() for outcome in outcomes
        ]
        content["embeddings"] = {"first": first.to_json(), "others": listed}
    return content, result.warnings


def _embed_or_error(context: RequestContext, model: Model, image: bytes) -> Embedding | InputError:
    try:
        return task.embed(image, model, bounds=context.bounds)
    except InputError as error:
        return error
