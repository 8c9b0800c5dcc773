"""Labelled accuracy of the float reference and of the variant that is served.

A conversion is accepted by its agreement with the reference; its users ask for accuracy. Needs the
deployed packages alone, unless --checkpoint exports the reference again.
"""
