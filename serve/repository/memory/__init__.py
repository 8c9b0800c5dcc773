"""The memory of models and runs, and its limits."""
