"""The verbs of `python -m convert`, one module or folder each."""
