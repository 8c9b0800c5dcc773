"""Ids of jobs: nobody can guess one, and each tells whether this process gave it out."""

import hashlib
import hmac
import re
import secrets
from typing import Literal

Origin = Literal["this process", "another process", "nobody"]

_ID = re.compile(r"([0-9a-f]{12})-([0-9a-f]{32})([0-9a-f]{16})")
_WORKER = "02x"  # the form of its number, with which the name of a process begins
_PROCESS_BYTES = 5  # of the rest
_RANDOM_BYTES = 16
_SIGNATURE_DIGITS = 16


class JobIds:
    """The ids of one process: its own name, 128 random bits and a signature.

    The signature tells a job that is gone from one that never was, without a list of those gone.
    """

    def __init__(self, worker: int = 0) -> None:
        """Choose a random name for the process, and a secret for the signatures.

        Args:
            worker: number of the process among those of the server, 0 to 255.
        """
        self._process = format(worker, _WORKER) + secrets.token_hex(_PROCESS_BYTES)
        self._secret = secrets.token_bytes()

    def new(self) -> str:
        """Return an id that was never given out before."""
        random = secrets.token_hex(_RANDOM_BYTES)
        return f"{self._process}-{random}{self._sign(random)}"

    def origin(self, job_id: str) -> Origin:
        """Return who gave an id out: nobody, if it has another form or a wrong signature."""
        match = _ID.fullmatch(job_id)
        if match is None:
            return "nobody"
        process, random, signature = match.groups()
        if process != self._process:
            return "another process"
        is_ours = hmac.compare_digest(signature, self._sign(random))
        return "this process" if is_ours else "nobody"

    def _sign(self, random: str) -> str:
        digest = hmac.digest(self._secret, random.encode(), hashlib.sha256)
        return digest.hex()[:_SIGNATURE_DIGITS]


def worker_of(job_id: str) -> int | None:
    """Return the number of the worker that an id names; None if it has another form."""
    return int(job_id[:2], 16) if _ID.fullmatch(job_id) else None
