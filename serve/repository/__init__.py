"""The served models, the provenance of their answers, and the model of each task route."""
