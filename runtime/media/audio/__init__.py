"""Sounds: decoded to waveforms, cut into windows, and checked for silence.

`containers` reads the first bytes, `decode` and `pyav` decode, `windows` cuts, `silence` measures.
"""
