"""Several processes that serve one port: a supervisor, and what its workers know of each other."""
