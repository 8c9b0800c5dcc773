"""The benchmark report as a document: its JSON Schema, and the conditions of a measurement."""
