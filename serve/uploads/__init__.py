"""Parse request bodies into the files and options of a route."""
