"""GET /metrics: the figures of the server in the text form of Prometheus."""

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from serve.metrics.merge import merge_texts
from serve.metrics.metrics import CONTENT_TYPE
from serve.state import State
from serve.workers.siblings import is_passed_on


async def show_metrics(request: Request[State]) -> Response:
    """Answer GET /metrics; of several workers each tells its own, and one that is gone nothing."""
    text, siblings = await request.state["metrics"].text(), request.state["siblings"]
    if siblings.others and not is_passed_on(request):
        asked = (siblings.ask(worker, request) for worker in siblings.others)
        answers = await asyncio.gather(*asked, return_exceptions=True)
        texts = {siblings.own: text.decode()}
        for worker, answer in zip(siblings.others, answers, strict=True):
            if isinstance(answer, Response) and answer.status_code == 200:
                texts[worker] = bytes(answer.body).decode()
        text = merge_texts(dict(sorted(texts.items()))).encode()
    return Response(text, headers={"Content-Type": CONTENT_TYPE})
