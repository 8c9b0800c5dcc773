"""The task routes: one module per task, from an upload to a reply."""
