"""The points, a function each: it judges the parts of one point."""
