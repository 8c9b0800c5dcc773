"""Which layers stay in float: the fewest that bring a quantized graph inside its tolerance.

Sensitivity is measured on whole quantized graphs, not guessed from single tensors: a unit's damage
depends on what is integer around it.
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

from convert.metrics import Fidelity
from convert.quantize.quantizer import Setting
from convert.quantize.search.layer_groups import Unit
from convert.recipe import Tolerance, tighten
from convert.verify.latency import AT_ONCE

BLOCKS = 8  # first partition of the network, in graph order
# a unit more in float must take away this share of the loss, and FLOAT_COST times its share of the
# network's work and weights: a float layer takes two to three times an integer one's time, and four
# times its bytes
WORTHWHILE = 0.03
FLOAT_COST = 2.0
SAFETY_SHARE = 0.05  # of work or weights, at most, in float for half of the tolerance
SAFER = 0.25  # of the loss, at least, that float must take away where the tolerance is kept without
ROUNDING = 1e-9  # of sums of shares
LEAST_SHARE = 0.02  # of a block, beside its multiplications: it is quantized on both sides


@dataclass(frozen=True, slots=True)
class Budget:
    """When a search stops. What it has found by then counts."""

    graphs: int  # measured at most
    seconds: float = float("inf")  # of `busy_seconds`, after which none is begun


@dataclass(frozen=True, slots=True)
class Measured:
    """One quantized graph on the inputs that the search sees."""

    fidelity: Fidelity
    milliseconds: float  # median of a run at one thread, not in turns with others: noisy
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Trial:
    """A setting, measured and judged."""

    setting: Setting
    measured: Measured
    violations: tuple[str, ...]  # of the recipe's tolerance; empty: it qualifies

    @property
    def fidelity(self) -> Fidelity:
        """On the inputs that the search sees."""
        return self.measured.fidelity

    @property
    def size_bytes(self) -> int:
        """Of its file."""
        return self.measured.size_bytes

    @property
    def qualifies(self) -> bool:
        """True inside the recipe's tolerance."""
        return not self.violations


def busy_seconds() -> float:
    """How long this process has computed, on two processors where it could.

    No clock on the wall: on a busy machine the search shall find what it finds on an idle one.
    """
    return time.process_time() / AT_ONCE


def _qualifies(trial: Trial) -> bool:
    return trial.qualifies


class Search:
    """Measures settings within a budget and remembers them."""

    def __init__(
        self,
        evaluate: Callable[[Setting], Measured],
        *,
        units: Sequence[Unit],
        tolerance: Tolerance,
        budget: Budget,
        clock: Callable[[], float] = busy_seconds,
    ) -> None:
        """Nothing is measured yet; the seconds of the budget run from here.

        Args:
            evaluate: quantizes and compares with the float graph; seconds per call.
            units: of the graph, in its order.
            tolerance: of the recipe.
            budget: for all that `run` does.
            clock: seconds, from any time on.
        """
        self._evaluate = evaluate
        self._units = units
        self._tolerance = tolerance
        self._safe = tighten(tolerance)
        self._budget = budget
        self._clock = clock
        self._deadline = clock() + budget.seconds
        self.trials: list[Trial] = []

    @property
    def exhausted(self) -> bool:
        """True when the budget is spent."""
        return len(self.trials) >= self._budget.graphs or self._clock() >= self._deadline

    def run(self, setting: Setting) -> Trial | None:
        """The qualifying setting with the fewest float units found; None where none qualifies.

        What `setting` has in float stays there.

        First the whole graph, then each block in float alone, then the best blocks together until
        the tolerance is kept, then what is not needed of them goes back to integer. What just keeps
        the tolerance here would miss it on other inputs: half of it is tried for first, as long as
        little is in float for it, and neighbours follow into float while that is worthwhile. Where
        the whole graph keeps half of the tolerance, a few layers that are much of its loss and
        little of its work are in float all the same. Last, activations that need not be in float
        after a float layer go back to integer: in float they move four times the memory.
        """
        whole = self._try(setting, frozenset())
        if self._tolerance == Tolerance():
            return whole
        ranked = self._rank_blocks(setting)
        if self.is_safe(whole):
            return self._improve(setting, whole, ranked)
        chosen = self._accumulate(setting, ranked, self.is_safe, SAFETY_SHARE)
        accepts = self.is_safe
        if chosen is None:
            if whole.qualifies:
                return self._improve(setting, whole, ranked)
            chosen = self._accumulate(setting, ranked, _qualifies, 1.0)
            accepts = _qualifies
        if chosen is None:
            return None
        return self._trim(self._extend(setting, self._shrink(setting, chosen, accepts)))

    def like(self, setting: Setting) -> list[Trial]:
        """Trials that differ from a setting in what is in float alone, least loss first."""
        alike = [
            trial
            for trial in self.trials
            if replace(trial.setting, float_nodes=setting.float_nodes) == setting
        ]
        return sorted(alike, key=lambda trial: trial.fidelity.loss)

    def measure(self, setting: Setting) -> Trial:
        """One setting as it stands, whatever the budget; measured once, however often asked for."""
        for trial in self.trials:
            if trial.setting == setting:
                return trial
        measured = self._evaluate(setting)
        violations = tuple(self._tolerance.violations(measured.fidelity.metrics))
        trial = Trial(setting, measured, violations)
        self.trials.append(trial)
        return trial

    def _rank_blocks(self, setting: Setting) -> list[frozenset[int]]:
        """Best first: by how much loss each takes away for its share of work or weights.

        Each holds the first unit of the next one as well, because what lies between two units may
        be what is wrong: it is in float only where both are.
        """
        count = len(self._units)
        size = max(1, -(-count // BLOCKS))
        blocks = [frozenset(range(i, min(i + size + 1, count))) for i in range(0, count, size)]
        whole = self._try(setting, frozenset()).fidelity.loss
        values = {}
        for block in blocks:
            if not self.exhausted:
                gain = whole - self._try(setting, block).fidelity.loss
                values[block] = gain / (LEAST_SHARE + self._share(block))
        return sorted(values, key=lambda block: -values[block])

    def is_safe(self, trial: Trial) -> bool:
        """True inside half of the tolerance."""
        return not self._safe.violations(trial.fidelity.metrics)

    def _accumulate(
        self,
        setting: Setting,
        ranked: Sequence[frozenset[int]],
        accepts: Callable[[Trial], bool],
        most: float,
    ) -> frozenset[int] | None:
        """The best blocks together that are accepted; None before that where they are too much."""
        chosen: frozenset[int] = frozenset()
        for block in ranked:
            chosen |= block
            too_much = self._share(chosen) > most + ROUNDING
            if self.exhausted or len(chosen) == len(self._units) or too_much:
                return None
            if accepts(self._try(setting, chosen)):
                return chosen
        return None

    def _improve(self, setting: Setting, whole: Trial, ranked: Sequence[frozenset[int]]) -> Trial:
        """What takes away most loss beyond its cost, of the best block and its halves."""
        best, most = whole, 0.0
        pending = sorted(ranked, key=lambda block: self._try(setting, block).fidelity.loss)[:1]
        while pending and not self.exhausted:
            part = pending.pop()
            trial, share = self._try(setting, part), self._share(part)
            if trial.fidelity.loss > whole.fidelity.loss * (1 - SAFER):
                break  # its parts seldom take more away than it does
            allowed = whole.fidelity.loss * (1 - max(SAFER, FLOAT_COST * share))
            gain = allowed - trial.fidelity.loss
            if trial.qualifies and share <= SAFETY_SHARE + ROUNDING and gain > most:
                best, most = trial, gain
            pending += self._better_half(setting, sorted(part))
        return self._trim(best) if best is not whole else whole

    def _better_half(self, setting: Setting, part: Sequence[int]) -> list[frozenset[int]]:
        """One of two halves, with a unit in common; none of what has no halves."""
        middle = len(part) // 2
        halves = [frozenset(part[: middle + 1]), frozenset(part[middle:])] if len(part) > 2 else []
        return sorted(halves, key=lambda half: self._try(setting, half).fidelity.loss)[:1]

    def _shrink(
        self, setting: Setting, indices: frozenset[int], accepts: Callable[[Trial], bool]
    ) -> frozenset[int]:
        """Delta debugging: drop ever smaller pieces as long as the rest is still accepted."""
        chosen = sorted(indices)
        pieces = 2
        while len(chosen) > 1 and not self.exhausted:
            size = -(-len(chosen) // pieces)
            for start in range(0, len(chosen), size):
                rest = chosen[:start] + chosen[start + size :]
                trial = None if self.exhausted else self._try(setting, frozenset(rest))
                if trial is not None and accepts(trial):
                    chosen, pieces = rest, max(pieces - 1, 2)
                    break
            else:
                if size == 1:
                    break
                pieces = min(len(chosen), pieces * 2)
        return frozenset(chosen)

    def _extend(self, setting: Setting, chosen: frozenset[int]) -> Trial:
        """Add the most worthwhile neighbour, again and again, while there is one."""
        best = self._try(setting, chosen)
        while not self.exhausted:
            around = {index + step for index in chosen for step in (-1, 1)} - chosen
            gains = {}
            for index in sorted(around):
                if 0 <= index < len(self._units) and not self.exhausted:
                    trial = self._try(setting, chosen | {index})
                    needed = max(WORTHWHILE, FLOAT_COST * self._share({index}))
                    allowed = best.fidelity.loss * (1 - needed)
                    gains[index] = allowed - trial.fidelity.loss
            if not gains or max(gains.values()) <= 0:
                break
            chosen |= {max(gains, key=lambda index: gains[index])}
            best = self._try(setting, chosen)
        return best

    def _trim(self, best: Trial) -> Trial:
        """Give activations after a float layer back to integer where that costs nothing."""
        limit = best.fidelity.loss * (1 + WORTHWHILE)
        for unit in self._units:
            for name in reversed(unit.nodes[1:]):
                if self.exhausted or name not in best.setting.float_nodes:
                    break
                fewer = best.setting.float_nodes - {name}
                trial = self.measure(replace(best.setting, float_nodes=fewer))
                if not trial.qualifies or trial.fidelity.loss > limit:
                    break
                best = trial
        return best

    def _share(self, indices: Collection[int]) -> float:
        """Of the network: what units cost in float, in time or in bytes."""
        units = [self._units[index] for index in indices]
        return max(sum(unit.work for unit in units), sum(unit.size for unit in units))

    def _try(self, setting: Setting, indices: frozenset[int]) -> Trial:
        return self.measure(self._with_float(setting, indices))

    def _with_float(self, setting: Setting, indices: frozenset[int]) -> Setting:
        nodes = frozenset(name for index in indices for name in self._units[index].nodes)
        return replace(setting, float_nodes=setting.float_nodes | nodes)
