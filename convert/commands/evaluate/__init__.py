"""Labelled accuracy before and after: the float reference against the file that serves.

Agreement with the reference is what a conversion is judged by; accuracy is what its users trust.
Needs the deployed packages alone, unless the reference has to be exported again.
"""
