"""The search for the layers that stay in float."""
