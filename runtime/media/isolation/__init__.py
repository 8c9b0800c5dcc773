"""Native decoders in processes of their own: one that hangs or crashes is killed and replaced.

`pool` lends workers to requests, `process` starts, asks and kills one, `worker` is the program that
runs inside, `jobs` lists the functions it offers, and `wire` is the format of their messages.
"""
