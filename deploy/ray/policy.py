"""Ray's autoscaling policy: as many replicas as the slots in use and the seconds of work need."""

from typing import Any

from serve.commands.planning.scaling import Target, replicas_for


class QueueSeconds:
    """Scales a deployment whose replicas report `busy` and `service_s`."""

    def __init__(self, **target: float) -> None:
        """Take the fields of `Target`."""
        self._target = Target(**target)

    def __call__(self, context: Any) -> tuple[int, dict[str, Any]]:  # an AutoscalingContext
        """Return the replicas that the load needs, within the limits of the deployment."""
        metrics = context.aggregated_metrics or {}
        busy = sum(metrics.get("busy", {}).values())
        service_s = list(metrics.get("service_s", {}).values())
        run_s = sum(service_s) / len(service_s) if service_s else 0.0
        replicas = replicas_for(busy, (context.total_queued_requests or 0.0) * run_s, self._target)
        least, most = context.capacity_adjusted_min_replicas, context.capacity_adjusted_max_replicas
        return min(max(replicas, least), most), {}
