"""Clients that cause trouble, a server of its own process, and what is measured of it."""
