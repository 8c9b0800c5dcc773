"""The models that are served, and what the API says of them."""
