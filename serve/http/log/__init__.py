"""The log: one line for each request, and the faults of the server; never what a client sent."""
