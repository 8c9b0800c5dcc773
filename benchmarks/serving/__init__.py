"""Compare the server with a bare loop over the same files: what HTTP and scheduling cost."""
