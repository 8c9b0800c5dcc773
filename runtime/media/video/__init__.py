"""Clips to sampled frames."""
