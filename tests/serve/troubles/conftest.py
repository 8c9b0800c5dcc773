"""The suite of troubles: a real server in a process of its own, and clients that no one wants.

`make test` runs it small. `make soak` runs the same tests with `--soak`: in full, with the bounds
of seconds as they are stated, and prints the table of row, bound and measured. `--table` prints
that table in any case. `--checkout=DIR` measures the server of another checkout.
"""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.serve.troubles.support.cgroup import Cgroup, memory_cgroup
from tests.serve.troubles.support.scale import CGROUP_BYTES, MAX_PSS_MB, SOAK, TEST, Scale
from tests.serve.troubles.support.server import Server, started
from tests.serve.troubles.support.table import Figures, Table
from tests.support.artifacts import (
    CLASSIFIER,
    EMBEDDING,
    FACES,
    GAIT,
    SEGMENTATION,
    SLOW,
    TENSORS,
    TEXT,
    VOICE,
    write_artifact,
)
from tests.support.server_process import PROJECT

TABLE = pytest.StashKey[Table]()
CGROUP_NOTE = pytest.StashKey[str]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of the suite; they exist where its folder is named on the command line."""
    parser.addoption("--soak", action="store_true", help="the suite of troubles in full")
    parser.addoption("--table", action="store_true", help="print row, bound and measured")
    parser.addoption("--checkout", type=Path, help="serve the code of this checkout")


def pytest_configure(config: pytest.Config) -> None:
    """Begin the table."""
    config.stash[TABLE] = Table()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of this folder: other tests beside them would take from their seconds."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker("alone")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Print the table, and how memory was measured."""
    if not (config.getoption("--soak", False) or config.getoption("--table", False)):
        return
    terminalreporter.section("troubles: row, bound, measured")
    terminalreporter.write_line(config.stash.get(CGROUP_NOTE, ""))
    for line in config.stash[TABLE].lines():
        terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def scale(request: pytest.FixtureRequest) -> Scale:
    """Return the counts and durations of this run."""
    return SOAK if request.config.getoption("--soak", False) else TEST


@pytest.fixture
def figures(request: pytest.FixtureRequest, scale: Scale) -> Figures:
    """Return where a test puts its measurements; a missed bound fails it at its end."""
    trouble = request.node.nodeid.rpartition("/")[2].replace(".py::", ": ").removeprefix("test_")
    return Figures(trouble, request.config.stash[TABLE], scale.margin)


@pytest.fixture(scope="session")
def cgroup(request: pytest.FixtureRequest) -> Iterator[Cgroup | None]:
    """Return a memory cgroup of 512 MiB; None where it cannot be made, which the table says."""
    with memory_cgroup(CGROUP_BYTES) as cgroup:
        note = f"memory: total_rss in a cgroup v1 of {CGROUP_BYTES // 2**20} MiB"
        missing = "memory: summed PSS; a cgroup v1 cannot be made here (root and its mount needed)"
        request.config.stash[CGROUP_NOTE] = missing if cgroup is None else note
        yield cgroup


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the tiny models of every task, whose answers are known."""
    root = tmp_path_factory.mktemp("tiny")
    for graph in (
        CLASSIFIER, EMBEDDING, SEGMENTATION, FACES, VOICE, GAIT, TEXT, TENSORS, SLOW,
    ):  # fmt: skip
        write_artifact(root, graph)
    return root


class Starter:
    """Starts servers, which end with the test, and looks at what their memory was."""

    def __init__(
        self, stack: ExitStack, tiny: Path, folder: Path, checkout: Path, cgroup: Cgroup | None
    ) -> None:
        """Start none yet.

        Args:
            stack: ends the servers.
            tiny: the artifacts that are served by default.
            folder: of the logs.
            checkout: the code that serves.
            cgroup: of all servers; None for none.
        """
        self._stack, self._tiny, self._folder, self.checkout = stack, tiny, folder, checkout
        self._cgroup = cgroup
        self._oom_kills = 0 if cgroup is None else cgroup.oom_kills
        self._servers: list[Server] = []

    def __call__(
        self,
        artifacts: Path | None = None,
        *,
        settings: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Server:
        """Start a server with these settings, by default with the tiny models.

        Args:
            artifacts: to serve.
            settings: variables of its environment.
            options: those of `started`.
        """
        log = self._folder / f"server-{len(self._servers)}.log"
        server = self._stack.enter_context(
            started(
                artifacts or self._tiny,
                log,
                cgroup=self._cgroup,
                checkout=self.checkout,
                settings=settings,
                **options,
            )
        )
        self._servers.append(server)
        return server

    def measure(self, figures: Figures) -> None:
        """Put the memory of every server so far into the table."""
        for server in self._servers:
            figures.at_most("memory of all processes", server.samples.highest_mb, MAX_PSS_MB, "MB")
        if self._cgroup is not None:
            figures.equal("oom_kill", self._cgroup.oom_kills - self._oom_kills, 0)


@pytest.fixture
def start(
    request: pytest.FixtureRequest, tiny: Path, tmp_path: Path, cgroup: Cgroup | None
) -> Iterator[Starter]:
    """Return a function that starts a server; the test fails if it was killed or took too much."""
    checkout = request.config.getoption("--checkout", None) or PROJECT
    with ExitStack() as stack:
        yield Starter(stack, tiny, tmp_path, checkout, cgroup)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail a test at its end if it missed a bound: all of its rows are in the table by then."""
    yield
    fixtures = getattr(item, "funcargs", {})
    figures, start = fixtures.get("figures"), fixtures.get("start")
    if isinstance(figures, Figures):
        if isinstance(start, Starter):
            start.measure(figures)
        assert figures.missed() == []
