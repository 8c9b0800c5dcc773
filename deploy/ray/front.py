"""The front: the server's own application, whose graphs run in the replicas of their models."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray
from starlette.types import ASGIApp, Receive, Scope, Send

from deploy.ray.busy import CpuTime
from deploy.ray.graph import Loaded
from runtime import Model
from runtime.artifact.golden import read_golden
from runtime.artifact.golden_check import check_outputs
from runtime.engine.allocator import tune_allocator
from runtime.engine.cancellation import Cancellation
from runtime.engine.session import Feeds, Outputs, Session
from runtime.errors import ArtifactError
from runtime.predict.assets import load_assets
from serve.app import create_app
from serve.repository.opening import open_repository
from serve.repository.pulled import pull_artifacts
from serve.repository.scan import Version
from serve.repository.task_models import check_task_models, task_models
from serve.settings import Settings

RUNS = 16  # of a front at once: they wait for replicas, not for its CPUs
_log = logging.getLogger("ray.serve")


class Replicas(Protocol):
    """The replicas of one model."""

    def describe(self, version: int) -> Loaded:
        """Return what a replica has loaded of a version; it loads it first.

        Raises:
            ArtifactError: the version is refused.
            UnavailableError: no replica answers.
        """

    def run(
        self, version: int, feeds: Feeds, names: Sequence[str], cancellation: Cancellation
    ) -> Outputs:
        """Run the graph of a version.

        Raises:
            CancelledError: the work was cancelled.
            UnavailableError: no replica answers.
        """


class RemoteSession(Session):
    """The session of a graph that the replicas of its model have loaded."""

    def __init__(self, replicas: Replicas, version: int, loaded: Loaded) -> None:
        """Load nothing: `loaded` is what a replica told."""
        self._replicas, self._version = replicas, version
        self.provider, self.operators_by_provider = loaded.provider, {loaded.provider: 0}
        self.first_run_s = loaded.first_run_s

    def _run(
        self, names: Sequence[str], feeds: dict[str, NDArray[np.generic]]
    ) -> Sequence[NDArray[np.generic]]:
        cancellation = self._cancellation or Cancellation()
        outputs = self._replicas.run(self._version, feeds, names, cancellation)
        return [outputs[name] for name in names]


def load_remote(version: Version, replicas: Mapping[str, Replicas]) -> Model:
    """Return a version whose graph the replicas run, after its golden sample went through them.

    Raises:
        ArtifactError: the replicas have another version, or answer otherwise than was verified.
        UnavailableError: no replica answers.
    """
    manifest, directory = version.manifest, version.directory
    its_replicas = replicas.get(manifest.id)
    if its_replicas is None:
        raise ArtifactError(f"{manifest.id} was not there when the application was deployed")
    loaded = its_replicas.describe(manifest.version)
    if loaded.digest != manifest.digest:
        raise ArtifactError(
            f"{directory} has the digest {manifest.digest}, and that of the replicas is "
            f"{loaded.digest}"
        )
    (variant,) = (one for one in manifest.variants if one.name == loaded.variant)
    session = RemoteSession(its_replicas, manifest.version, loaded)
    model = Model(manifest, manifest.spec, variant, session, load_assets(directory, manifest))
    golden = read_golden(directory, manifest)
    outputs = model.run(golden.feeds(0))
    for check in check_outputs(golden, variant.verification, outputs):
        if not check.passes:
            raise ArtifactError(f"{directory}, {variant.name}: golden output {check}")
    return model


class WithState:
    """An application that gets the state of its lifespan, where the ASGI server passes none on."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application that is not started."""
        self._app = app
        self._state: dict[str, object] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Start the application, or answer one request."""
        state = self._state if scope["type"] == "lifespan" else dict(self._state)
        await self._app({**scope, "state": state}, receive, send)


class Front:
    """A replica of the front."""

    def __init__(self, settings: Settings, replicas: Mapping[str, Replicas]) -> None:
        """Open the repository; the lifespan of the application loads its models.

        Args:
            settings: of the server; SLIPWAY_RUNS is how many requests wait for replicas at once.
            replicas: by the id of their model.

        Raises:
            SlipwayError: settings are refused, or there is no model.
        """
        tune_allocator()
        cv2.setNumThreads(settings.threads)
        self._pulled = pull_artifacts(settings, _log.warning)  # its directory stays while held
        settings = replace(self._pulled.settings, runs=settings.runs or RUNS, workers=1)
        repository = open_repository(
            settings, _log.warning, load=lambda version: load_remote(version, replicas)
        )
        check_task_models(repository.tasks, task_models(settings))
        self.application = WithState(create_app(settings, repository))
        self._cpu_time = CpuTime()

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Return the load of this replica, for the autoscaler."""
        return self._cpu_time.read()
