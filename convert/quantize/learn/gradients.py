"""Gradient steps on ranges, biases and rounding, so that a graph imitates float.

The quantized graph runs in torch as onnxruntime computes it (`simulation.py`), and is compared with
the float graph on the calibration samples (`imitation.py`). Validation and test samples take no
part: what fits the calibration too closely, the search and the judges refuse.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx
import torch

from convert.quantize.learn.imitation import Imitation
from convert.quantize.learn.learned import Learned, LearnedLayer
from convert.quantize.learn.simulation import Simulation
from runtime.engine.session import Feeds

SEED = 19
STEPS = 360  # gradient steps, each on one sample
FIRST_STEPS = 3  # after which the time of all of them is known
MOMENTS = 0.9, 0.999

Observe = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Rates:
    """The learning rates of the first steps, by kind of parameter."""

    ranges: float = 0.003  # a bound, as a share of it
    biases: float = 0.005  # in steps of the tensor that the layer writes
    weights: float = 0.0005  # in steps of their rounding


def follow_gradients(
    quantized: onnx.ModelProto,
    model: onnx.ModelProto,
    feeds: Sequence[Feeds],
    *,
    steps: int = STEPS,
    rates: Rates = Rates(),
    seconds: float = math.inf,
    clock: Callable[[], float] = time.process_time,
    observe: Observe = lambda state: None,
) -> Learned:
    """Learn the ranges of activations, the biases, and which way weights are rounded.

    The rates fall to 0 along a cosine. If the first steps show that all of them take too long,
    fewer are made.

    Args:
        quantized: graph with QDQ pairs.
        model: the float graph.
        feeds: one sample each.
        steps: on a sample each, which come in a random order that repeats.
        rates: of the first steps.
        seconds: by the clock, at most.
        clock: returns seconds from an arbitrary start.
        observe: receives the state, in words.

    Raises:
        UnknownOperatorError: an operator of the graph is not known in torch.
    """
    deadline = clock() + seconds
    simulation = Simulation(quantized, model)
    imitation = Imitation(model, feeds, simulation.written)
    optimizer = torch.optim.Adam(_groups(simulation, rates), betas=MOMENTS)
    first_rates = [group["lr"] for group in optimizer.param_groups]
    random = np.random.default_rng(SEED)
    order: list[int] = []
    losses: list[float] = []
    started = clock()
    while len(losses) < steps and clock() < deadline:
        if len(losses) == FIRST_STEPS:
            steps = int(min(steps, _affordable(clock() - started, deadline - clock())))
        order = order or random.permutation(len(feeds)).tolist()
        share = 0.5 * (1 + math.cos(math.pi * len(losses) / steps))
        for group, rate in zip(optimizer.param_groups, first_rates, strict=True):
            group["lr"] = rate * share
        index = order.pop()
        optimizer.zero_grad(set_to_none=True)
        loss = imitation.loss(index, simulation.run(feeds[index], imitation.names))
        loss.backward()
        optimizer.step()
        simulation.limit()
        losses.append(loss.item())
        observe(f"learning, step {len(losses)} of {steps}")
    return _result(simulation, tuple(losses))


def _affordable(first: float, left: float) -> float:
    """Return how many steps fit, by the seconds of the first ones and those that are left."""
    return FIRST_STEPS + left / max(first / FIRST_STEPS, 1e-9)


def _groups(simulation: Simulation, rates: Rates) -> list[dict]:
    parameters = (
        ([learned.powers for learned in simulation.ranges.values()], rates.ranges),
        ([learned.offset for learned in simulation.biases.values()], rates.biases),
        ([learned.steps for learned in simulation.weights.values()], rates.weights),
    )
    return [{"params": tensors, "lr": rate} for tensors, rate in parameters if tensors and rate]


def _result(simulation: Simulation, losses: tuple[float, ...]) -> Learned:
    with torch.no_grad():
        ranges = {
            name: (float(low), float(high))
            for name, (low, high) in (
                (name, learned.tensors()) for name, learned in simulation.ranges.items()
            )
        }
        layers = {
            layer.node: LearnedLayer(
                simulation.weights[layer.weight].tensor().numpy(),
                simulation.biases[layer.bias].tensor().numpy() if layer.bias else None,
            )
            for layer in simulation.layers
        }
    return Learned(ranges, layers, losses)
