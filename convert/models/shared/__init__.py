"""Code that several recipes share: loading and seeding. The facts of a model are in its recipe."""
