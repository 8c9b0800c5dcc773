"""Training of `gait_student` on synthetic clips; `__main__` has the commands.

The weights know synthetic walkers and a table of conditions. They have never seen a person.
"""
