"""Other servers and engines with the same model files: speed, memory, start and fidelity."""
