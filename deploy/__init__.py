"""Tools around a running server: image checks, demo, gallery. Imports `runtime` alone."""
