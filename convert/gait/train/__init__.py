"""Make weights of `gait_student` from drawn walkers; see `__main__` for how to run it.

The weights know drawings and a table of conditions. They have never seen a person.
"""
