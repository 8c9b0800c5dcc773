"""One module of tests per command."""
