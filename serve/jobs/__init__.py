"""Asynchronous requests: accepted at once, run in the background, kept until they are fetched."""
