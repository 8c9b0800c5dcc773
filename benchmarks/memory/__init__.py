"""The memory of the server by state: how many models, at rest and under load."""
