"""When a sound is silent."""

import numpy as np

from runtime.arrays import Waveform

SILENCE_DBFS = -60.0  # of the loudest tenth of a second; speech as it is recorded reaches -10
_FRAME_S = 0.1


def is_silent(samples: Waveform, rate: int) -> bool:
    """Whether no tenth of a second is above SILENCE_DBFS.

    A model standardises what it hears: the noise of a converter would be as loud as a voice to it.

    Args:
        samples: (S,) float32, at least one, full scale 1.
        rate: Hz.
    """
    frame = min(round(_FRAME_S * rate), samples.size)
    centred = samples - samples.mean(dtype=np.float64)
    frames = centred[: samples.size // frame * frame].reshape(-1, frame)
    loudest = float(np.sqrt(np.square(frames).mean(axis=1)).max())
    return loudest < 10 ** (SILENCE_DBFS / 20)
