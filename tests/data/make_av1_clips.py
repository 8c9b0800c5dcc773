"""Write the clips of `clips/`: six grey frames coded as AV1. Needs PyAV, an optional package.

.venv-av/bin/python tests/data/make_av1_clips.py
"""

from pathlib import Path

import av
import numpy as np

FOLDER = Path(__file__).parent / "clips"


def main() -> None:
    """Write an MP4 and a WebM."""
    FOLDER.mkdir(exist_ok=True)
    for kind in ("mp4", "webm"):
        with av.open(str(FOLDER / f"av1.{kind}"), "w") as file:
            stream = file.add_stream("libsvtav1", rate=25, options={"preset": "12"})
            stream.width = stream.height = 64
            stream.pix_fmt = "yuv420p"
            for level in range(0, 240, 40):
                pixels = np.full((64, 64, 3), level, np.uint8)
                file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            file.mux(stream.encode())


if __name__ == "__main__":
    main()
