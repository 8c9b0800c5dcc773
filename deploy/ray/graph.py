"""A replica of one model: it loads versions and runs their graphs for the front."""

import asyncio
import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from deploy.ray.busy import Busy
from runtime import Model
from runtime.artifact.signature import TrustedKeys
from runtime.engine.allocator import tune_allocator
from runtime.engine.cancellation import Cancellation
from runtime.engine.session import Feeds, Outputs
from runtime.errors import ArtifactError
from serve.repository.opening import loader_of
from serve.repository.plan import plan_of
from serve.repository.pulled import pull_artifacts
from serve.repository.scan import Entry, Version, list_models
from serve.routing.store import RoutingFile
from serve.settings import Settings

_log = logging.getLogger("ray.serve")


@dataclass(frozen=True, slots=True)
class Loaded:
    """The facts that a replica tells of a version that it has loaded."""

    digest: str
    variant: str  # its name
    provider: str
    first_run_s: float | None


class Graph:
    """The versions of a model that were asked for; the default one is loaded at the start."""

    def __init__(self, settings: Settings, model_id: str) -> None:
        """Pull the artifacts if they are in a registry, and load the default version.

        Raises:
            SlipwayError: there is no such model, or its version is refused.
        """
        tune_allocator()
        self._pulled = pull_artifacts(settings, _log.warning)  # its directory stays while held
        self._settings, self._id = self._pulled.settings, model_id
        self._load = loader_of(self._settings, _log.warning)
        self._lock, self._models = threading.Lock(), dict[int, Model]()
        self._busy = Busy()
        routes = RoutingFile(self._settings.directory).read().models
        versions = plan_of(self._entry(), routes.get(model_id)).default.versions
        if versions:
            self._model(versions[0].manifest.version)

    async def describe(self, version: int) -> Loaded:
        """Load a version unless it is there; return what was loaded.

        Raises:
            ArtifactError: there is no such version, or it is refused.
        """
        model = await asyncio.to_thread(self._model, version)
        session = model.session
        digest, name = model.manifest.digest, model.variant.name
        return Loaded(digest, name, session.provider, session.first_run_s)

    async def run(self, version: int, feeds: Feeds, names: Sequence[str]) -> Outputs:
        """Run the graph of a version once; a call that is cancelled stops the run.

        Args:
            version: its number.
            feeds: arrays by input name, as for `Session.run`.
            names: of the outputs.
        """
        cancellation = Cancellation()
        try:
            return await asyncio.to_thread(self._run, version, feeds, names, cancellation)
        except asyncio.CancelledError:
            cancellation.cancel()
            raise

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Return the load of this replica, for the autoscaler."""
        return self._busy.read()

    def _run(
        self, version: int, feeds: Feeds, names: Sequence[str], cancellation: Cancellation
    ) -> Outputs:
        session = self._model(version).session.bound(cancellation)
        with self._busy.run():
            return session.run(feeds, names)

    def _model(self, version: int) -> Model:
        if (model := self._models.get(version)) is not None:
            return model
        with self._lock:
            if version not in self._models:
                self._models[version] = self._load(self._version(version))
            return self._models[version]

    def _version(self, number: int) -> Version:
        for version in self._entry().versions:
            if version.manifest.version == number:
                return version
        raise ArtifactError(f"{self._settings.directory} has no version {number} of {self._id}")

    def _entry(self) -> Entry:
        settings = self._settings
        trusted = TrustedKeys(settings.trusted_keys)
        listing = list_models(
            settings.directory, allow_seeded=settings.allow_seeded, trusted=trusted
        )
        for entry in listing.entries:
            if entry.id == self._id:
                return entry
        raise ArtifactError(f"{settings.directory} has no model {self._id}")
