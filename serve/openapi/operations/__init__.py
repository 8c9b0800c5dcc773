"""The operations of the server: one module per part of it, `table.py` lists them all."""
