"""The application for those who start an ASGI server themselves: `uvicorn serve.asgi:app`.

The settings come from the environment; SLIPWAY_HOST and PORT are the ASGI server's own business.
What `python -m serve` does beside the application is missing; the log says so.
"""

import logging
import os

import cv2
from starlette.types import ASGIApp, Receive, Scope, Send

from runtime.engine.allocator import tune_allocator
from runtime.errors import SlipwayError
from serve.app import create_app
from serve.repository.opening import open_repository
from serve.repository.pulled import Pulled, pull_artifacts
from serve.repository.task_models import check_task_models, task_models
from serve.settings import from_environment
from serve.settings.environment import unknown_variables

MISSING = (
    "serve.asgi: limits of heads and connections, deadlines of slow clients and the end that loses "
    "no request are those of this ASGI server; python -m serve has its own"
)

_log = logging.getLogger("uvicorn.error")


class Application:
    """The application of the environment's settings, made when the ASGI server starts it."""

    def __init__(self) -> None:
        """Read nothing yet: to import this module costs and needs nothing."""
        self._app: ASGIApp | None = None
        self._pulled: Pulled | None = None  # its directory stays while it is held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start the application, or answer one request."""
        if scope["type"] == "lifespan":
            try:
                self._pulled, self._app = make_application()
            except SlipwayError as error:
                await receive()
                await send({"type": "lifespan.startup.failed", "message": str(error)})
                return
        if self._app is None:
            raise RuntimeError("the ASGI server has no lifespan; allowed: one that starts it")
        await self._app(scope, receive, send)


def make_application() -> tuple[Pulled, ASGIApp]:
    """Return the application of the environment's settings; its lifespan loads the models.

    Artifacts in a registry are pulled first, while the ASGI server answers nothing.

    Raises:
        SlipwayError: settings are refused, or there is no model.
    """
    tune_allocator()
    for warning in unknown_variables(os.environ):
        _log.warning(warning)
    settings = from_environment(os.environ)
    cv2.setNumThreads(settings.threads)
    pulled = pull_artifacts(settings, _log.warning)
    settings = pulled.settings
    repository = open_repository(settings, _log.warning)
    check_task_models(repository.tasks, task_models(settings))
    _log.warning(MISSING)
    return pulled, create_app(settings, repository)


app = Application()
