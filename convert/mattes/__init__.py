"""How good mattes are: composites whose alpha and foreground are known, and what is made of them.

    python -m convert.mattes [--images DIR] [--artifact DIR]

May import the runtime; no framework is needed.
"""
