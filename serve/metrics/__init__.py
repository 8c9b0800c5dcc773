"""The metrics of the server: counted as requests end, or read when they are asked for."""
