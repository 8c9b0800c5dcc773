"""Artifacts on the move: a deterministic tar, and OCI registries. The standard library alone."""
