"""Support the build of the container image: its root, its bill of materials."""
