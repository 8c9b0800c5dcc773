"""The application for Ray Serve: `serve run deploy.ray.app:build`.

The settings are those of the environment in which it is built. Every replica reads the artifacts
itself: from the same path on each machine, or from a registry.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from ray import serve as ray_serve
from ray.exceptions import RayError, RayTaskError
from ray.serve.config import AutoscalingConfig, AutoscalingPolicy
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from deploy.ray.front import Front, Replicas
from deploy.ray.graph import Graph, Loaded
from runtime.artifact.signature import TrustedKeys
from runtime.engine.cancellation import Cancellation
from runtime.engine.session import Feeds, Outputs
from runtime.errors import InputError, UnavailableError
from serve.repository.pulled import pull_artifacts
from serve.repository.scan import list_models
from serve.settings import Settings, from_environment

FRONT = "front"
MOST_OPEN = 1024  # requests at a replica of the front, which itself refuses those that wait long


@dataclass(frozen=True, slots=True)
class Scale:
    """The arguments of `build`: `serve run deploy.ray.app:build most=8 cpus=2`."""

    most: int = 4  # replicas of each deployment
    cpus: float = 1.0  # that Ray reserves for a replica of a model
    runs: int = 1  # of a replica of a model at once
    front_cpus: float = 1.0  # that Ray reserves for a replica of the front
    utilisation: float = 0.7  # of runs, and of the CPUs of the front
    queue_s: float = 0.25  # of work that may wait for a model, until it gets another replica
    up_delay_s: float = 5.0
    down_delay_s: float = 300.0
    look_back_s: float = 10.0  # over which the load is averaged

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> "Scale":
        """Return the values of arguments by name, numbers or text.

        Raises:
            InputError: a name is unknown, or a value is not a number above 0.
        """
        types = {field.name: int if field.type is int else float for field in fields(cls)}
        values = dict[str, Any]()
        for name, value in arguments.items():
            if name not in types:
                raise InputError(f"{name} is unknown; allowed: {', '.join(types)}")
            try:
                values[name] = types[name](value)
            except ValueError:
                values[name] = 0
            if not values[name] > 0:
                raise InputError(f"{name} is {value!r}; allowed: a number above 0")
        return cls(**values)


class RayReplicas:
    """The replicas of one model, asked through Ray."""

    def __init__(self, model_id: str, handle: DeploymentHandle) -> None:
        """Ask nobody yet."""
        self._id, self._handle = model_id, handle

    def describe(self, version: int) -> Loaded:
        """Return what a replica has loaded; see `Replicas`."""
        loaded: Loaded = self._result(self._handle.describe.remote(version), Cancellation())
        return loaded

    def run(
        self, version: int, feeds: Feeds, names: Sequence[str], cancellation: Cancellation
    ) -> Outputs:
        """Run the graph of a version; see `Replicas`."""
        response = self._handle.run.remote(version, dict(feeds), list(names))
        outputs: Outputs = self._result(response, cancellation)
        return outputs

    def _result(self, response: Any, cancellation: Cancellation) -> Any:
        with cancellation.stopping(response.cancel):
            try:
                return response.result()
            except RayTaskError as error:  # raised by our own code in the replica
                cancellation.check()
                raise (error.cause if isinstance(error.cause, Exception) else error) from error
            except (RayError, RayServeException) as error:
                cancellation.check()
                raise UnavailableError(
                    f"no replica of {self._id} answers ({type(error).__name__}); try again later",
                    reason="model",
                ) from error


class RayFront(Front):
    """The front, with the handles that Ray gives it."""

    def __init__(self, settings: Settings, handles: Mapping[str, DeploymentHandle]) -> None:
        """Serve the models of the handles."""
        replicas: dict[str, Replicas] = {
            model_id: RayReplicas(model_id, handle) for model_id, handle in handles.items()
        }
        super().__init__(settings, replicas)

    def __serve_build_asgi_app__(self) -> Any:
        """Return the application to Ray."""
        return self.application


def build(arguments: dict[str, Any]) -> ray_serve.Application:
    """Return the application: a front, and a deployment for each model of the artifacts.

    Args:
        arguments: the fields of `Scale`.

    Raises:
        SlipwayError: arguments or settings are refused, or there is no model.
    """
    scale = Scale.of(arguments)
    settings = from_environment(os.environ)
    pulled = pull_artifacts(settings, print)
    listing = list_models(
        pulled.settings.directory,
        allow_seeded=settings.allow_seeded,
        trusted=TrustedKeys(settings.trusted_keys),
    )
    handles = {
        entry.id: ray_serve.deployment(
            Graph,
            name=entry.id,
            max_ongoing_requests=scale.runs,
            ray_actor_options={"num_cpus": scale.cpus},
            autoscaling_config=_autoscaling(scale, slots=scale.runs),
        ).bind(settings, entry.id)
        for entry in listing.entries
        if entry.versions
    }
    front = ray_serve.deployment(
        ray_serve.ingress(None)(RayFront),
        name=FRONT,
        max_ongoing_requests=MOST_OPEN,
        ray_actor_options={"num_cpus": scale.front_cpus},
        autoscaling_config=_autoscaling(scale, slots=scale.front_cpus),
    )
    return front.bind(settings, handles)


def _autoscaling(scale: Scale, *, slots: float) -> AutoscalingConfig:
    target = {"slots": slots, "utilisation": scale.utilisation, "queue_s": scale.queue_s}
    return AutoscalingConfig(
        min_replicas=1,
        max_replicas=scale.most,
        upscale_delay_s=scale.up_delay_s,
        downscale_delay_s=scale.down_delay_s,
        look_back_period_s=scale.look_back_s,
        metrics_interval_s=scale.look_back_s / 5,
        policy=AutoscalingPolicy(
            policy_function="deploy.ray.policy:QueueSeconds", policy_kwargs=target
        ),
    )
