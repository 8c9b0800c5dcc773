"""Media to the feeds of a graph, and its outputs to results; it decides which boxes count."""
