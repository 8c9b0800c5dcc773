"""The command line: tasks over files, folders and patterns; sits on top of `runtime.tasks`."""
