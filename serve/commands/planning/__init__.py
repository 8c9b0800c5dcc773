"""The arithmetic of `python -m serve plan`."""
