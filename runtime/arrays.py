"""Names for arrays that many modules pass to each other. Imports nothing of this project."""

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]  # (H, W, 3), RGB; (H, W, 1) after a grayscale step
Waveform = NDArray[np.float32]  # (S,), one channel, full scale is 1
