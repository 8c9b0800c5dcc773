"""The search for the fewest float layers with which a quantized graph is accurate enough.

The search measures whole quantized graphs. It does not guess from single tensors: the damage that a
layer does in integer depends on which layers around it are integer too.
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from convert.metrics import Fidelity
from convert.quantize.quantizer import QuantizationConfig
from convert.quantize.search.layer_groups import LayerGroup
from convert.recipe import Tolerance, tighten
from convert.verify.latency import CONCURRENT_RUNS

BLOCKS = 8  # parts of the network, in graph order, that the search tries first
# A further group in float must remove this share of the loss, and FLOAT_COST times its share of
# the network's work and weights: a float layer takes two to three times the time of an integer one,
# and four times its bytes
MIN_GAIN = 0.03
FLOAT_COST = 2.0
MARGIN_SHARE = 0.05  # largest share of work or weights in float to keep half of the tolerance
# share of the loss that float must remove if the graph keeps the tolerance without it
MIN_IMPROVEMENT = 0.25
ROUNDING_ERROR = 1e-9  # of sums of shares
BORDER_COST = 0.02  # added to the share of a block, whose two borders stay quantized


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits of a search. Trials that were measured before a limit was reached still count."""

    graphs: int  # measured at most
    seconds: float = float("inf")  # of `busy_seconds`, after which no graph is begun


@dataclass(frozen=True, slots=True)
class Measurement:
    """One quantized graph on the validation samples."""

    fidelity: Fidelity
    milliseconds: float  # median of a run at one thread; noisy, other graphs are not interleaved
    size_bytes: int  # of the file


@dataclass(frozen=True, slots=True)
class Trial:
    """A configuration that the search has measured."""

    config: QuantizationConfig
    measurement: Measurement
    violations: tuple[str, ...]  # of the recipe's tolerance

    @property
    def fidelity(self) -> Fidelity:
        """Return the fidelity on the validation samples."""
        return self.measurement.fidelity

    @property
    def size_bytes(self) -> int:
        """Return the size of the graph's file."""
        return self.measurement.size_bytes

    @property
    def qualifies(self) -> bool:
        """Return True if the fidelity keeps the recipe's tolerance."""
        return not self.violations


def busy_seconds() -> float:
    """Return the processor time of this process, divided by CONCURRENT_RUNS samples at a time.

    With wall-clock time the search would find less on a busy machine than on an idle one.
    """
    return time.process_time() / CONCURRENT_RUNS


def _qualifies(trial: Trial) -> bool:
    return trial.qualifies


class Search:
    """Measures quantization configurations within a budget and remembers every trial.

    Attributes:
        trials: the measured configurations, in the order of their measurement.
    """

    def __init__(
        self,
        evaluate: Callable[[QuantizationConfig], Measurement],
        *,
        groups: Sequence[LayerGroup],
        tolerance: Tolerance,
        budget: Budget,
        clock: Callable[[], float] = busy_seconds,
        observe: Callable[[Sequence[Trial]], None] | None = None,
    ) -> None:
        """Begin without trials; the seconds of the budget run from now.

        Args:
            evaluate: quantizes a graph and compares it with float; takes seconds per call.
            groups: the layer groups of the graph, in graph order.
            tolerance: the recipe's bounds; without any, the whole graph in integer qualifies.
            budget: limits all calls of `find_float_layers` together.
            clock: returns seconds from an arbitrary start.
            observe: called with all trials after each measurement.
        """
        self._evaluate = evaluate
        self._groups = groups
        self._tolerance = tolerance
        self._half_tolerance = tighten(tolerance)
        self._budget = budget
        self._clock = clock
        self._observe = observe
        self._deadline = clock() + budget.seconds
        self.trials: list[Trial] = []

    @property
    def exhausted(self) -> bool:
        """Return True when the budget is spent."""
        return len(self.trials) >= self._budget.graphs or self._clock() >= self._deadline

    def find_float_layers(self, config: QuantizationConfig) -> Trial | None:
        """Search for a trial that qualifies with few layers in float.

        1. Measure the whole graph in integer, then each of BLOCKS parts of it in float alone.
        2. Put the best blocks into float together until the tolerance holds.
        3. Return to integer the layers that turn out not to be needed (`_shrink`), add neighbours
           while each is worth its cost (`_extend`), and return activations to integer that need not
           be in float after a float layer: in float they move four times the memory (`_trim`).

        A graph that just keeps the tolerance on these samples would miss it on others. So the
        search first aims at half of the tolerance (`has_margin`), as long as at most MARGIN_SHARE
        of the network is in float for it, and only then at the whole of it.

        If the whole graph in integer keeps half of the tolerance, or keeps the whole of it and no
        blocks reach half, steps 2 and 3 are left out: a few layers that cause much of the loss for
        little work move to float (`_improve`).

        Args:
            config: the configuration to start from; its own `float_nodes` stay in float.

        Returns:
            The best trial; the whole graph in integer if the tolerance has no bounds. None if the
            budget ends, or all groups are in float, before step 2 reaches the tolerance.
        """
        whole = self._try(config, frozenset())
        if self._tolerance == Tolerance():
            return whole
        ranked = self._rank_blocks(config)
        if self.has_margin(whole):
            return self._improve(config, whole, ranked)
        groups = self._accumulate(config, ranked, self.has_margin, MARGIN_SHARE)
        accepts = self.has_margin
        if groups is None:
            if whole.qualifies:
                return self._improve(config, whole, ranked)
            groups = self._accumulate(config, ranked, _qualifies, 1.0)
            accepts = _qualifies
        if groups is None:
            return None
        return self._trim(self._extend(config, self._shrink(config, groups, accepts)))

    def trials_like(self, config: QuantizationConfig) -> list[Trial]:
        """Return the trials that differ from a configuration in `float_nodes` alone.

        The one of least loss comes first.
        """
        trials = [
            trial
            for trial in self.trials
            if replace(trial.config, float_nodes=config.float_nodes) == config
        ]
        return sorted(trials, key=lambda trial: trial.fidelity.loss)

    def measure(self, config: QuantizationConfig) -> Trial:
        """Return the trial of a configuration; measure it at the first call, even over budget."""
        for trial in self.trials:
            if trial.config == config:
                return trial
        measurement = self._evaluate(config)
        violations = tuple(self._tolerance.violations(measurement.fidelity.metrics))
        trial = Trial(config, measurement, violations)
        self.trials.append(trial)
        if self._observe is not None:
            self._observe(self.trials)
        return trial

    def has_margin(self, trial: Trial) -> bool:
        """Return True if the fidelity keeps half of the tolerance, see `convert.recipe.tighten`."""
        return not self._half_tolerance.violations(trial.fidelity.metrics)

    def _rank_blocks(self, config: QuantizationConfig) -> list[frozenset[int]]:
        """Return the blocks, ordered by the loss that each removes for its cost, the best first.

        A block is a set of indices of groups. Blocks that the budget did not reach are left out.
        Each block includes the first group of the next one: the tensor between two groups may
        cause the loss, and it is in float only where both groups are.
        """
        count = len(self._groups)
        size = max(1, -(-count // BLOCKS))
        blocks = [frozenset(range(i, min(i + size + 1, count))) for i in range(0, count, size)]
        whole_loss = self._try(config, frozenset()).fidelity.loss
        values = {}
        for block in blocks:
            if not self.exhausted:
                gain = whole_loss - self._try(config, block).fidelity.loss
                values[block] = gain / (BORDER_COST + self._share(block))
        return sorted(values, key=lambda block: -values[block])

    def _accumulate(
        self,
        config: QuantizationConfig,
        ranked: Sequence[frozenset[int]],
        accepts: Callable[[Trial], bool],
        largest_share: float,
    ) -> frozenset[int] | None:
        """Unite the blocks, the best first, until their trial is accepted; return their groups.

        None if they exceed `largest_share` of the network, are all of it, or the budget ends.
        """
        groups: frozenset[int] = frozenset()
        for block in ranked:
            groups |= block
            too_large = self._share(groups) > largest_share + ROUNDING_ERROR
            if self.exhausted or len(groups) == len(self._groups) or too_large:
                return None
            if accepts(self._try(config, groups)):
                return groups
        return None

    def _improve(
        self, config: QuantizationConfig, whole: Trial, ranked: Sequence[frozenset[int]]
    ) -> Trial:
        """Bisect the best block; return the trial that removes the most loss beyond its cost.

        The part is at most MARGIN_SHARE of the network and removes at least MIN_IMPROVEMENT of the
        loss. If there is none, return `whole`, the trial of the whole graph in integer.
        """
        best, best_gain = whole, 0.0
        pending = sorted(ranked, key=lambda block: self._try(config, block).fidelity.loss)[:1]
        while pending and not self.exhausted:
            part = pending.pop()
            trial, share = self._try(config, part), self._share(part)
            if trial.fidelity.loss > whole.fidelity.loss * (1 - MIN_IMPROVEMENT):
                break  # smaller parts of it rarely remove more
            largest_loss = whole.fidelity.loss * (1 - max(MIN_IMPROVEMENT, FLOAT_COST * share))
            gain = largest_loss - trial.fidelity.loss
            if trial.qualifies and share <= MARGIN_SHARE + ROUNDING_ERROR and gain > best_gain:
                best, best_gain = trial, gain
            pending += self._better_half(config, sorted(part))
        return self._trim(best) if best is not whole else whole

    def _better_half(self, config: QuantizationConfig, part: Sequence[int]) -> list[frozenset[int]]:
        """Return a list of the half with less loss; [] for a part of one or two groups.

        Both halves hold the group in the middle.
        """
        middle = len(part) // 2
        halves = [frozenset(part[: middle + 1]), frozenset(part[middle:])] if len(part) > 2 else []
        return sorted(halves, key=lambda half: self._try(config, half).fidelity.loss)[:1]

    def _shrink(
        self,
        config: QuantizationConfig,
        groups: frozenset[int],
        accepts: Callable[[Trial], bool],
    ) -> frozenset[int]:
        """Remove ever smaller pieces as long as the rest is accepted: delta debugging.

        Returns:
            The groups that are still needed in float; more than that if the budget ends.
        """
        needed = sorted(groups)
        pieces = 2
        while len(needed) > 1 and not self.exhausted:
            size = -(-len(needed) // pieces)
            for start in range(0, len(needed), size):
                rest = needed[:start] + needed[start + size :]
                trial = None if self.exhausted else self._try(config, frozenset(rest))
                if trial is not None and accepts(trial):
                    needed, pieces = rest, max(pieces - 1, 2)
                    break
            else:
                if size == 1:
                    break
                pieces = min(len(needed), pieces * 2)
        return frozenset(needed)

    def _extend(self, config: QuantizationConfig, groups: frozenset[int]) -> Trial:
        """Add the neighbouring group that gains the most beyond its cost, as long as one does.

        The cost is the larger of MIN_GAIN and FLOAT_COST times its share, as a share of the loss.
        """
        best = self._try(config, groups)
        while not self.exhausted:
            neighbours = {index + step for index in groups for step in (-1, 1)} - groups
            gains = {}
            for index in sorted(neighbours):
                if 0 <= index < len(self._groups) and not self.exhausted:
                    trial = self._try(config, groups | {index})
                    required = max(MIN_GAIN, FLOAT_COST * self._share({index}))
                    largest_loss = best.fidelity.loss * (1 - required)
                    gains[index] = largest_loss - trial.fidelity.loss
            if not gains or max(gains.values()) <= 0:
                break
            groups |= {max(gains, key=lambda index: gains[index])}
            best = self._try(config, groups)
        return best

    def _trim(self, best: Trial) -> Trial:
        """Make activations after float layers integer again, the last of each group first.

        In each group, stop before one that breaks the tolerance or raises the loss by more than
        MIN_GAIN of it.
        """
        largest_loss = best.fidelity.loss * (1 + MIN_GAIN)
        for group in self._groups:
            for name in reversed(group.nodes[1:]):
                if self.exhausted or name not in best.config.float_nodes:
                    break
                fewer = best.config.float_nodes - {name}
                trial = self.measure(replace(best.config, float_nodes=fewer))
                if not trial.qualifies or trial.fidelity.loss > largest_loss:
                    break
                best = trial
        return best

    def _share(self, indices: Collection[int]) -> float:
        """Return the share of the network that groups are: of work or weights, the larger."""
        groups = [self._groups[index] for index in indices]
        return max(sum(group.work for group in groups), sum(group.size for group in groups))

    def _try(self, config: QuantizationConfig, indices: frozenset[int]) -> Trial:
        """Return the trial of a configuration with these groups in float as well."""
        nodes = frozenset(name for index in indices for name in self._groups[index].nodes)
        return self.measure(replace(config, float_nodes=config.float_nodes | nodes))
