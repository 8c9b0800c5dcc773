"""The parts of the debug bundle of `python -m serve doctor`; none has a secret or a payload."""
