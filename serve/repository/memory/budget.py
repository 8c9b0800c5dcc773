"""The memory that the server may take: of its cgroup, and of SLIPWAY_MEMORY_MIB."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from runtime.engine.memory import (
    CgroupMemory,
    anonymous_bytes,
    child_processes,
    memory_cgroup,
)
from runtime.media.isolation.pool import HUNG_WORKERS

MIB = 2**20
SETTING = "SLIPWAY_MEMORY_MIB"
# of a limit, for what no estimate covers: sockets, the kernel's own memory, small requests
RESERVE_SHARE = 12
LEAST_RESERVE_BYTES = 16 * MIB
WORK_BYTES = 24 * MIB  # of a request outside of its run: a photo decoded, prepared, encoded
# that a decoder takes, besides the file twice, for a clip of 4096 x 2304 px
CLIP_BYTES = 184 * MIB
LARGE_CLIP_BYTES = 448 * MIB  # the same, if its codec refers to many frames; where there is room
SOUND_BYTES, SOUND_TIMES_SIZE = 20 * MIB, 3  # for a sound, and for each byte of its file
DATA_BYTES = 64 * MIB  # that a decoder maps besides: 43 are never touched, 14 are a frame more


@dataclass(frozen=True, slots=True)
class Limit:
    """A limit, and how near it is."""

    source: str
    limit_bytes: int
    read_used_bytes: Callable[[], int]

    def __str__(self) -> str:
        """Return the limit for the log."""
        limit, allowed = self.limit_bytes / MIB, self.allowed_bytes / MIB
        return f"{allowed:.0f} MiB may be taken of {limit:.0f} ({self.source})"

    @property
    def allowed_bytes(self) -> int:
        """Return what may be planned with: the limit without the reserve."""
        return self.limit_bytes - self.reserve_bytes

    @property
    def reserve_bytes(self) -> int:
        """Return what is never planned with."""
        return max(LEAST_RESERVE_BYTES, self.limit_bytes // RESERVE_SHARE)


@dataclass(frozen=True, slots=True)
class DecoderShare:
    """Limit how many decoders work at once, and the memory of each."""

    count: int
    clip_bytes: int

    @property
    def memory_bytes(self) -> int:
        """Return the address space for its data, the file apart: up to 21 MiB over its room."""
        return self.clip_bytes + DATA_BYTES


def decoder_share(limits: Sequence[Limit], cpus: int) -> DecoderShare:
    """Return the share of the decoders: half of the memory is for them, at least for one."""
    most = cpus + HUNG_WORKERS
    share_bytes = min((limit.allowed_bytes // 2 for limit in limits), default=None)
    if share_bytes is None or share_bytes >= most * LARGE_CLIP_BYTES:
        return DecoderShare(most, LARGE_CLIP_BYTES)
    return DecoderShare(max(1, min(most, share_bytes // CLIP_BYTES)), CLIP_BYTES)


def body_limit(limits: Sequence[Limit], *, largest_bytes: int, most_bytes: int) -> int:
    """Return how many bytes of bodies and answers may be in memory at once.

    Where memory is limited that is as much as the reserve: all of it is planned for, whether they
    have arrived or not.

    Args:
        limits: none: the most.
        largest_bytes: of one body.
        most_bytes: at all.
    """
    reserve_bytes = min((limit.reserve_bytes for limit in limits), default=most_bytes)
    return min(most_bytes, max(largest_bytes, reserve_bytes))


def find_limits(
    setting_mib: int, cgroup: CgroupMemory | None = None, *, workers: int = 1
) -> tuple[Limit, ...]:
    """Return the limits of the server, or of one of its workers; empty: there is none.

    The setting counts the server and its decoders, a cgroup everything that is in it. A worker has
    its share of both, and leaves the cgroup as it is when others have taken more than theirs.

    Args:
        setting_mib: SLIPWAY_MEMORY_MIB, or a worker's share of it; 0 for none.
        cgroup: of this process; None to find it.
        workers: that share the cgroup.
    """
    cgroup = cgroup or memory_cgroup()
    limits = []
    if setting_mib:
        limits.append(Limit(SETTING, setting_mib * MIB, _server_bytes))
    if cgroup is not None and cgroup.limit_bytes is not None:
        used = partial(_cgroup_bytes, cgroup)
        source = f"cgroup v{cgroup.version}"
        limits.append(Limit(source, cgroup.limit_bytes, used))
        if workers > 1:
            share_bytes = cgroup.limit_bytes // workers
            limits.append(Limit(f"a worker's share of {source}", share_bytes, _server_bytes))
    return tuple(limits)


@dataclass(frozen=True, slots=True)
class Usage:
    """The memory of the server that comes from no file."""

    server_bytes: int
    decoder_bytes: int  # of its child processes

    @property
    def all_bytes(self) -> int:
        """Return the sum."""
        return self.server_bytes + self.decoder_bytes


def read_usage() -> Usage:
    """Return what the system tells now."""
    return Usage(anonymous_bytes(), anonymous_bytes(child_processes()))


def _server_bytes() -> int:
    return read_usage().all_bytes


def _cgroup_bytes(cgroup: CgroupMemory) -> int:
    used_bytes = cgroup.used_bytes
    return _server_bytes() if used_bytes is None else used_bytes
