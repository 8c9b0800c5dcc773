"""Detection of silent sounds."""

import numpy as np

from runtime.arrays import Waveform

SILENCE_DBFS = -60.0  # RMS of the loudest tenth of a second; recorded speech reaches about -10
_FRAME_S = 0.1


def is_silent(samples: Waveform, rate: int) -> bool:
    """Return whether no tenth of a second has an RMS above SILENCE_DBFS.

    Models standardise their input, which would make the noise of a recorder as loud as a voice.

    Args:
        samples: (S,) float32, at least one, full scale 1.
        rate: Hz.
    """
    frame = min(round(_FRAME_S * rate), samples.size)
    centred = samples - samples.mean(dtype=np.float64)
    frames = centred[: samples.size // frame * frame].reshape(-1, frame)
    loudest = float(np.sqrt(np.square(frames).mean(axis=1)).max())
    return loudest < 10 ** (SILENCE_DBFS / 20)
