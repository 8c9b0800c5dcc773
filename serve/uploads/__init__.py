"""From a request body to the files and options of a route."""
