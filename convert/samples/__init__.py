"""The inputs of a conversion: the user's media or synthetic ones, and the golden samples."""
