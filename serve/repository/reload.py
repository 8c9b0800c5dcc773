"""Follow changes of routing.json and of the directory while the server runs."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

from runtime.artifact.signature import TrustedKeys
from runtime.errors import ArtifactError
from serve.repository.models import ModelRepository
from serve.repository.plan import Plan, plan_of
from serve.repository.scan import list_models, without_root
from serve.routing.store import RoutingFile

WATCH_S = 1.0  # between two looks at routing.json


class Reloader:
    """Reads routing.json and the directory again, and lets the repository follow."""

    def __init__(
        self,
        repository: ModelRepository,
        artifacts: Path,
        *,
        allow_seeded: bool,
        trusted: TrustedKeys | None = None,
    ) -> None:
        """Take what the repository was opened with; `watching` looks for changes."""
        self.file = RoutingFile(artifacts)
        self.problem = ""  # why the last reading was refused
        self._repository, self._allow_seeded = repository, allow_seeded
        self._trusted = trusted
        self._stamp = self.file.stamp()

    def reload(self) -> Future[None]:
        """Read everything again, as a restart would; new models and versions are loaded.

        A version that was refused is tried again. Returns a future that is done when all is loaded.
        """
        return self._repository.apply(lambda: self._plans(everything=True))

    def follow(self) -> Future[None]:
        """Read routing.json again; only models whose route changed get another version."""
        return self._repository.apply(lambda: self._plans(everything=False))

    def look(self) -> bool:
        """Follow routing.json if it has changed; return whether it has."""
        stamp = self.file.stamp()
        if stamp == self._stamp:
            return False
        self._stamp = stamp
        self.follow()
        return True

    def _plans(self, *, everything: bool) -> list[Plan]:
        """Return the plans of the models that changed, or of all."""
        repository = self._repository
        try:
            routing = self.file.read()
            listing = list_models(
                self.file.artifacts, allow_seeded=self._allow_seeded, trusted=self._trusted
            )
        except ArtifactError as error:
            self.problem = without_root(str(error), str(self.file.artifacts))
            repository.report(f"nothing is changed: {error}")
            return []
        self.problem = ""
        before, repository.routing = repository.routing, routing
        entries = {entry.id: entry for entry in listing.entries}
        for model_id in sorted(routing.models.keys() - entries.keys()):
            repository.report(f"{self.file.path} names {model_id!r}, which is not in the directory")
        changed = {name for name in entries if routing.models.get(name) != before.models.get(name)}
        for name in changed:
            repository.counts.begin(name)
        return [
            plan_of(entry, routing.models.get(name))
            for name, entry in entries.items()
            if everything or name in changed
        ]


@contextmanager
def watching(reloader: Reloader, every_s: float = WATCH_S) -> Iterator[None]:
    """Look at routing.json once a second while the block runs."""
    end = threading.Event()

    def watch() -> None:
        while not end.wait(every_s):
            reloader.look()

    thread = threading.Thread(target=watch, name="slipway-routing", daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join()
