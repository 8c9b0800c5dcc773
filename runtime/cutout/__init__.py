"""Cut-outs: from an alpha mask to a picture without its background."""
