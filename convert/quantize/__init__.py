"""From a float graph to INT8: calibration, the passes, and the choice between candidates."""
