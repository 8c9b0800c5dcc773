"""Native decoders in processes of their own: what hangs or crashes there is killed and replaced.

`pool` asks, `child` is one process as its parent sees it, `worker` is the program inside, `jobs`
what it can do, `wire` how they talk.
"""
