"""The HTTP side of requests: bodies, connections, the pool of worker threads."""
