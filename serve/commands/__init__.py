"""The commands of `python -m serve COMMAND`: a module each, with `main(arguments) -> exit code`."""
