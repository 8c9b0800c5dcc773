"""The life of the process: signals, start, readiness check, and the end."""
