"""The application for those who start an ASGI server themselves: `uvicorn serve.asgi:app`.

The settings come from the environment; SLIPWAY_HOST and PORT are the ASGI server's own business.
The models are loaded in the application's lifespan. What `python -m serve` does beside the
application is missing; the log says so.
"""

import logging
import os

import cv2

from runtime.engine.allocator import tune_allocator
from serve.app import create_app
from serve.repository.opening import open_repository
from serve.repository.task_models import check_task_models, task_models
from serve.settings import from_environment
from serve.settings.environment import unknown_variables

MISSING = (
    "serve.asgi: limits of heads and connections, deadlines of slow clients and the end that loses "
    "no request are those of this ASGI server; python -m serve has its own"
)

_log = logging.getLogger("uvicorn.error")

tune_allocator()
for _warning in unknown_variables(os.environ):
    _log.warning(_warning)
_settings = from_environment(os.environ)
cv2.setNumThreads(_settings.threads)
_log.warning(MISSING)
_repository = open_repository(_settings, _log.warning)
check_task_models(_repository.tasks, task_models(_settings))
app = create_app(_settings, _repository)
