"""The weights of a conversion: a local file, an installed package, a download, or seeded ones."""
