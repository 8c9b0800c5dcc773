"""The server on Ray Serve: a front that decodes, and replicas that run the graph of a model."""
