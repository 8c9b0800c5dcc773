"""Between media and results: what a graph is fed, and what its outputs mean."""
