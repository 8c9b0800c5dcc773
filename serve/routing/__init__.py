"""The version that answers a request: artifacts/routing.json, and how two versions compare."""
