"""Pull the artifacts at the start, and end at once if a signal says so."""

import concurrent.futures
import socket
import threading
import time
from collections.abc import Callable

from runtime.errors import UnavailableError
from serve.http.stop import Stop
from serve.lifecycle.meanwhile import answering
from serve.repository.pulled import Pulled, pull_artifacts
from serve.settings import Settings

POLL_S = 0.1
MARGIN_S = 60.0  # after the time of the pull, for a last read or write to end


def await_artifacts(
    settings: Settings, listener: socket.socket, stop: Stop, report: Callable[[str], None]
) -> Pulled | None:
    """Pull while the port answers that the server is not ready; None if it shall end.

    The pull has a thread of its own, because a read or a lookup of a name may last: a signal does
    not wait for it. What it has written is whole or goes on at the next start.

    Raises:
        SlipwayError: as `pull_artifacts` raises it.
    """
    future: concurrent.futures.Future[Pulled] = concurrent.futures.Future()

    def work() -> None:
        try:
            future.set_result(pull_artifacts(settings, report, lambda: stop.requested))
        except BaseException as error:  # raised again where the result is awaited
            future.set_exception(error)

    thread = threading.Thread(target=work, name="slipway-pull", daemon=True)
    end_s = time.monotonic() + settings.pull_timeout_s + MARGIN_S
    with answering(listener, settings.base_path):
        thread.start()
        while not concurrent.futures.wait([future], POLL_S).done:
            if stop.requested:
                report("ending while the artifacts arrive; the next start goes on from there")
                return None
            if time.monotonic() > end_s:
                raise UnavailableError(
                    f"the pull is not done after {settings.pull_timeout_s} s; allowed: that many "
                    "(SLIPWAY_PULL_TIMEOUT)"
                )
    if stop.requested:
        return None
    thread.join()  # the workers are forked from a process without threads
    return future.result()
