"""The artifact on disk: its variants, each measured, written whole or not at all."""
