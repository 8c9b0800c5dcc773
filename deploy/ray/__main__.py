"""Run the server on a Ray of this machine alone, until SIGTERM or SIGINT: `python -m deploy.ray`.

On a cluster: `serve run deploy.ray.app:build`, or `serve deploy` with a file.
"""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence

from runtime.errors import SlipwayError

PERIOD_S = 1.0  # between two looks at the numbers of replicas


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal; return 1 if the application is refused."""
    parser = argparse.ArgumentParser(prog="python -m deploy.ray", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="address (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="port (default: 8000)")
    parser.add_argument(
        "--cpus", type=int, help="that Ray may give to replicas (default: those of this machine)"
    )
    parser.add_argument("--temp", help="directory for Ray's files (default: /tmp/ray)")
    parser.add_argument(
        "scale", nargs="*", metavar="NAME=VALUE", help="the fields of deploy.ray.app.Scale"
    )
    options = parser.parse_args(arguments)
    # read when ray is imported: nothing is reported to others, and load is seen within seconds
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    for source in ("REPLICA", "HANDLE"):
        os.environ.setdefault(f"RAY_SERVE_{source}_AUTOSCALING_METRIC_PUSH_INTERVAL_S", "2")
    return _serve(options)


def _serve(options: argparse.Namespace) -> int:
    import ray
    from ray import serve as ray_serve

    from deploy.ray.app import build

    # "local" starts a Ray of its own, where another one runs too
    ray.init(
        "local",
        num_cpus=options.cpus,
        include_dashboard=False,
        _temp_dir=options.temp,
        log_to_driver=False,
    )
    ready, ended = threading.Event(), threading.Event()

    def end(*_: object) -> None:
        ended.set()
        if not ready.is_set():
            sys.exit(1)  # Ray waits for replicas as long as they take

    for name in (signal.SIGTERM, signal.SIGINT):  # in the place of Ray's own handlers
        signal.signal(name, end)
    try:
        ray_serve.start(http_options={"host": options.host, "port": options.port})
        ray_serve.run(build(dict(word.partition("=")[::2] for word in options.scale)))
        ready.set()
        print(f"ray: ready on http://{options.host}:{options.port}", flush=True)
        _report_replicas(ended)
        ray_serve.shutdown()
    except (SlipwayError, RuntimeError) as error:
        print(f"ray: {error}", file=sys.stderr)
        return 1
    finally:
        ray.shutdown()
    return 0


def _report_replicas(ended: threading.Event) -> None:
    """Print the running replicas of a deployment when their number has changed."""
    from ray import serve as ray_serve

    counts: dict[str, int] = {}
    while not ended.wait(PERIOD_S):
        for application in ray_serve.status().applications.values():
            for name, deployment in application.deployments.items():
                count = deployment.replica_states.get("RUNNING", 0)
                if counts.get(name) != count:
                    print(f"ray: replicas of {name}: {count}", flush=True)
                    counts[name] = count


if __name__ == "__main__":
    sys.exit(main())
