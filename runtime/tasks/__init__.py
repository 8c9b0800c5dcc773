"""What the models are for: one module per task, from files as people have them to a frozen result.

Each module has a function named as the task, the options it takes as a frozen dataclass, and a
result whose `to_json` is what the server and the command line answer. Models are handed in: a task
asks what they are by their spec, never by their name.
"""
