"""Measure the frameworks that the models come from, on the inputs of the artifacts."""
