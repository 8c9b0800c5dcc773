"""Check a server of the Open Inference Protocol, whoever made it, with plain HTTP."""
