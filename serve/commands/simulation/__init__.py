"""A simulation of arrivals, replicas and their scaling, with the scheduling of the server."""
