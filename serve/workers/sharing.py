"""Endpoints that concern a certain worker, or all of them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from serve.workers.siblings import Siblings, is_passed_on

Endpoint = Callable[[Request[Any]], Awaitable[Response]]
Merge = Callable[[Sequence[Any]], Any]


def at_worker(endpoint: Endpoint, choose: Callable[[Request[Any]], int | None]) -> Endpoint:
    """Return an endpoint whose requests a certain worker answers.

    Args:
        endpoint: answers in that worker.
        choose: returns the number of the worker; None, or an unknown one, for whoever is asked.
    """

    async def respond(request: Request[Any]) -> Response:
        siblings: Siblings = request.state["siblings"]
        worker = choose(request)
        if worker not in siblings.others or is_passed_on(request):
            return await endpoint(request)
        return await siblings.ask(worker, request)

    return respond


def at_every_worker(endpoint: Endpoint) -> Endpoint:
    """Return an endpoint that each worker carries out; the answer is that of the first failure."""

    async def respond(request: Request[Any]) -> Response:
        siblings: Siblings = request.state["siblings"]
        response = await endpoint(request)
        if not siblings.others or is_passed_on(request) or response.status_code >= 400:
            return response
        answers = await siblings.ask_others(request)
        return next((answer for answer in answers if answer.status_code >= 400), response)

    return respond


def of_every_worker(endpoint: Endpoint, merge: Merge) -> Endpoint:
    """Return an endpoint whose answer is made of those of all workers.

    Args:
        endpoint: answers in JSON for one worker.
        merge: makes one content of those of the workers, by their numbers.
    """

    async def respond(request: Request[Any]) -> Response:
        siblings: Siblings = request.state["siblings"]
        response = await endpoint(request)
        if not siblings.others or is_passed_on(request) or response.status_code >= 400:
            return response
        answers = await siblings.ask_others(request)
        if refusal := next((answer for answer in answers if answer.status_code >= 400), None):
            return refusal
        answers.insert(siblings.own, response)
        content = merge([orjson.loads(bytes(answer.body)) for answer in answers])
        return Response(orjson.dumps(content), media_type="application/json")

    return respond
