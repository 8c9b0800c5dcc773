"""Integers from text, and values in error messages."""
