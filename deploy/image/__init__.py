"""What a build of the container image runs."""
