"""The task routes for people: one module per task, from an upload to a reply."""
