"""Request bodies, connections and worker threads: the limits of one process."""
