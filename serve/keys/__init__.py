"""API keys and the rate of requests: who may ask, and how often."""
