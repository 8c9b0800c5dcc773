"""Mix the channels of a sound down to one."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from runtime.arrays import Waveform

CANCELLED = "the channels of the sound cancel each other (opposite phase): one of them was used"
# Channels that have nothing in common add up to a power of 1 in these terms, equal ones to their
# number. Opposite ones leave next to nothing; a tenth of a voice is not what the person said.
_LEAST_POWER = 0.25
_DECISION_S = 0.5
_KEEP = 0.5  # a channel that was used is kept while it has this share of the loudest one's power


@dataclass(slots=True)
class Mixer:
    """Averages the channels of one sound, as librosa does, unless they cancel each other."""

    warn: Callable[[str], None]
    channel: int | None = None  # that was used last in place of the mean

    def mix(self, block: NDArray[np.float32], rate: int) -> Waveform:
        """Return a block (S, C) as (S,): the mean, or a channel where that cancels.

        Args:
            block: (S, C) float32.
            rate: Hz; each half second is decided by itself.
        """
        mean: Waveform = block.mean(axis=1, dtype=np.float32)
        if block.shape[1] > 1:
            step = max(1, round(_DECISION_S * rate))
            for start in range(0, len(block), step):
                part = slice(start, start + step)
                self._mend(mean[part], block[part])
        return mean

    def _mend(self, mean: Waveform, block: NDArray[np.float32]) -> None:
        """Overwrite a mean in which the channels cancel each other."""
        powers = np.square(block, dtype=np.float64).sum(axis=0)
        power = np.square(mean, dtype=np.float64).sum()
        if not power < _LEAST_POWER * powers.sum() / powers.size**2:
            return
        if self.channel is None:
            self.warn(CANCELLED)
        if self.channel is None or powers[self.channel] < _KEEP * powers.max():
            self.channel = int(powers.argmax())
        mean[:] = block[:, self.channel]
