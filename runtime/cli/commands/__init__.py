"""One module per command: what it may be told, and how it answers for one file."""
