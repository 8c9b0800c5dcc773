"""The figures of the connections, which another thread reads."""

from serve.http.limits import Limits
from serve.http.registry import Connections, Phase


class Peer:
    """A connection; another one comes while its figures are read."""

    def __init__(self, connections: Connections) -> None:
        """Know who takes the next one."""
        self._connections = connections

    @property
    def phase(self) -> Phase:
        self._another()
        return Phase.REQUEST

    @property
    def sent_bytes(self) -> int:
        self._another()
        return 10

    def _another(self) -> None:
        self._connections._peers[Peer(self._connections)] = None  # type: ignore[index]


def connections_of(count: int) -> Connections:
    connections = Connections(Limits())
    for _ in range(count):
        connections._peers[Peer(connections)] = None  # type: ignore[index]
    return connections


def test_phases_while_connections_come() -> None:
    assert connections_of(3).phases()["request"] == 3


def test_sent_bytes_while_connections_come() -> None:
    assert connections_of(3).sent_bytes == 30
