"""The score of similarity: labelled pairs of images, and the scale that is fitted to them."""
