"""The rule by which INT8 is judged: which bounds decide, and how sure their verdict is."""
