"""Clips: `reader` reads packets and frames through OpenCV's FFmpeg, `sample` picks the frames."""
