"""Compare two checkouts on one machine: is the head slower, larger or hungrier than the base?"""
