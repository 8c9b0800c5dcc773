"""Command line: run a task on files, folders and patterns; on top of `runtime.tasks`."""
