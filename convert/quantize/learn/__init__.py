"""Learning of ranges, biases and rounding: an INT8 graph imitates its float graph on samples."""
