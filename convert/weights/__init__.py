"""The weights of a conversion: a local file, a download, or a seeded generator."""
