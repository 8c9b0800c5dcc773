"""Cost as a function of size: points, and the straight line through them."""
