"""Sounds: `containers` reads their first bytes, `decode` and `pyav` decode, `windows` cuts."""
