"""One module per command: its options, and its answer to one file."""
