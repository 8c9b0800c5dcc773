"""The two scales of the suite: small in `make test`, in full in `make soak`."""

from dataclasses import dataclass

KB, MB = 1000, 1_000_000
MAX_PSS_MB = 400  # of the whole process tree
CGROUP_BYTES = 512 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """Counts and durations of the troubles."""

    soak: bool
    margin: float  # wider bounds of seconds, for a busy machine
    flood_bytes: int  # of a head, trailers or chunk extensions
    pipelined_bytes: int  # of requests sent at once on one connection
    chunked_bytes: int  # of the wire form of one-byte chunks on one connection
    many: int  # connections that do the same at once
    body_bytes: int  # of a hostile body
    answer_readers: int  # clients that do not read their answers
    stops: int  # repetitions of SIGTERM under load
    rounds: int  # of a request that is repeated for its own sake
    impatient: int  # clients that give up
    load_s: float  # seconds of load of the tests of goodput and fairness
    versions_s: float  # seconds in which versions change all the time
    memory_s: float  # seconds in which every model is asked in turn
    mixed: int  # requests of all kinds to every route
    mixed_rate: float  # of them per second
    busy_s: float  # seconds in which each model has 70 % of the load that it can take


TEST = Scale(
    soak=False, margin=8, flood_bytes=4 * MB, pipelined_bytes=1 * MB, chunked_bytes=1 * MB, many=8,
    body_bytes=4 * MB, answer_readers=6, stops=2, rounds=8, impatient=32, load_s=3,
    memory_s=3, versions_s=1, mixed=2000, mixed_rate=250, busy_s=0.3,
)  # fmt: skip
SOAK = Scale(
    soak=True, margin=1, flood_bytes=20 * MB, pipelined_bytes=8 * MB, chunked_bytes=8 * MB, many=20,
    body_bytes=10 * MB, answer_readers=6, stops=8, rounds=60, impatient=64, load_s=20,
    memory_s=600, versions_s=120, mixed=200_000, mixed_rate=160, busy_s=10,
)  # fmt: skip
