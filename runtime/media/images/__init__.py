"""Images to RGB arrays and to what a graph takes."""
