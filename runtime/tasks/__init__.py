"""One module per task: from a user's file to a frozen result.

Each module has a function named after its task, a frozen dataclass of its options, and a result
whose `to_json` is the answer of the server and of the command line. Callers pass the models in. A
task checks what a model does by its spec, never by its id.
"""
