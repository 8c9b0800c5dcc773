"""What the container image runs beside the server. May import runtime; nothing imports it."""
