"""One server of each peer, each run by the peer's own environment, with the same model file."""
