"""A server in a thread, and requests to it in every form."""
