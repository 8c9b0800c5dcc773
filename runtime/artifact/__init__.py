"""The artifact as data: manifest, spec, steps, golden samples. Imports no engine."""
