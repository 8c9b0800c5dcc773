"""Sounds to waveforms."""
