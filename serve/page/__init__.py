"""The page at /: every task in a browser, from files of this folder alone."""
