"""The measures of `convert.metrics` that judge INT8 in the terms of its task, with their bounds."""
