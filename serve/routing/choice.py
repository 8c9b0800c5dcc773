"""The choice between the default version and the candidate for one request."""

import hashlib
import secrets
from dataclasses import dataclass
from typing import Self

HEADER = "X-Route-Key"
_RANDOM_BYTES = 8
_HASH_BYTES = 8


@dataclass(frozen=True, slots=True)
class Choice:
    """The key that decides which version answers: one for all models and files of a request."""

    key: bytes
    version: int | None = None  # that the request names; None: it leaves the choice
    needs_same_tensors: bool = False  # the request has tensors of the default version

    @classmethod
    def of(cls, header: str | None, version: int | None = None) -> Self:
        """Return the choice of a request.

        Args:
            header: the value of X-Route-Key; None: each request is chosen for by chance.
            version: that the request names.
        """
        random = secrets.token_bytes(_RANDOM_BYTES)
        return cls(header.encode("latin-1", "replace") if header else random, version)

    def takes_candidate(self, model_id: str, digest: str, share: float) -> bool:
        """Return whether the candidate answers.

        The same key gets the same answer while the candidate is the same, and keeps the candidate
        if the share grows. Another model or candidate draws anew.

        Args:
            model_id: the model.
            digest: of the candidate.
            share: of the requests, 0 to 1.
        """
        text = b"\0".join((model_id.encode(), digest.encode(), self.key))
        digits = hashlib.blake2b(text, digest_size=_HASH_BYTES).digest()
        return int.from_bytes(digits) < share * float(1 << 8 * _HASH_BYTES)
