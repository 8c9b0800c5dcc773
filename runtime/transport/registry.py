"""A repository of a registry that speaks OCI's distribution protocol: blobs and manifests."""

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import TypeVar
from urllib.parse import urljoin

from runtime.errors import ArtifactError, UnavailableError
from runtime.transport.authorization import authorize
from runtime.transport.credentials import Credentials
from runtime.transport.exchange import (
    Body,
    BrokenError,
    Response,
    error_text,
    exchange,
    pieces,
    read_whole,
)
from runtime.transport.limits import CHUNK_BYTES, MANIFEST_BYTES, Limits
from runtime.transport.oci_manifest import MANIFEST_TYPE
from runtime.transport.reference import Reference

Result = TypeVar("Result")
OpenAt = Callable[[int], Iterable[bytes]]  # the bytes from a place on


@dataclass(slots=True)
class Registry:
    """The repository of a reference."""

    reference: Reference
    limits: Limits
    credentials: Credentials | None = None
    plain_http: bool = False  # allow http; for a registry of this machine it is the scheme anyway
    _authorization: str = field(default="", repr=False)

    @property
    def _base(self) -> str:
        scheme = "http" if self._allows_http else "https"
        return f"{scheme}://{self.reference.host}/v2/{self.reference.repository}"

    @property
    def _allows_http(self) -> bool:
        return self.plain_http or self.reference.is_loopback

    @contextmanager
    def _ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: Body | None = None,
    ) -> Iterator[Response]:
        """Send a request, and once more with what the registry's challenge asks for.

        Raises:
            BrokenError: worth another attempt.
            ArtifactError: the registry does not let us in.
        """
        is_authorized = False
        while True:
            sent = {"Accept": MANIFEST_TYPE, "User-Agent": "slipway", **(headers or {})}
            # to the registry itself alone, wherever it sends an upload
            if self._authorization and url.startswith(f"{self._base.partition('/v2/')[0]}/"):
                sent["Authorization"] = self._authorization
            with exchange(
                method, url, sent, self.limits, plain_http=self._allows_http, body=body
            ) as response:
                if response.status != 401 or is_authorized:
                    self._check(response)
                    yield response
                    return
                challenge = response.getheader("WWW-Authenticate", "")
            is_authorized = True
            self._authorization = authorize(
                challenge,
                self.credentials,
                f"repository:{self.reference.repository}:pull"
                + (",push" if method in ("POST", "PATCH", "PUT") else ""),
                self.limits,
                plain_http=self._allows_http,
            )

    def _check(self, response: Response) -> None:
        """Raise for answers that are the same whatever was asked for."""
        status = response.status
        if status in (401, 403):
            who = self.credentials.user if self.credentials else "nobody"
            raise ArtifactError(
                f"{self.reference}: the registry does not let {who!r} in: {error_text(response)}"
            )
        if status >= 500 or status in (408, 429):
            raise BrokenError(f"{self.reference.host} answers {error_text(response)}")

    def _refuse(self, response: Response, what: str) -> ArtifactError:
        return ArtifactError(f"{self.reference}: {what}: {error_text(response)}")

    def manifest(self, version: str) -> tuple[str, bytes]:
        """Return digest and bytes of a manifest, which were compared if a digest was asked for.

        Args:
            version: tag or digest.

        Raises:
            ArtifactError: there is none, or it is not what was asked for.
            UnavailableError: the registry is not reached.
        """
        return self._again(lambda: self._manifest(version))

    def _manifest(self, version: str) -> tuple[str, bytes]:
        with self._ask("GET", f"{self._base}/manifests/{version}") as response:
            if response.status != 200:
                raise self._refuse(response, f"no manifest {version}")
            data = read_whole(response, MANIFEST_BYTES, self.limits, f"the manifest {version}")
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if version.startswith("sha256:") and digest != version:
            raise ArtifactError(f"{self.reference}: the manifest that arrived has {digest}")
        return digest, data

    def put_manifest(self, version: str, data: bytes) -> None:
        """Publish a manifest, whose blobs are there, under a tag or its digest."""
        self._again(lambda: self._put_manifest(version, data))

    def _put_manifest(self, version: str, data: bytes) -> None:
        headers = {"Content-Type": MANIFEST_TYPE, "Content-Length": str(len(data))}
        url = f"{self._base}/manifests/{version}"
        with self._ask("PUT", url, headers, lambda: (data,)) as response:
            if response.status != 201:
                raise self._refuse(response, f"the manifest {version} is refused")

    def has_blob(self, sha256: str) -> bool:
        """Return whether the repository holds a blob."""
        return self._again(lambda: self._has_blob(sha256))

    def _has_blob(self, sha256: str) -> bool:
        with self._ask("HEAD", f"{self._base}/blobs/sha256:{sha256}") as response:
            return response.status == 200

    def _again(self, call: Callable[[], Result]) -> Result:
        """Return what a call returns, after some attempts if the connection breaks."""
        attempts = _Attempts(self.limits)
        while True:
            try:
                return call()
            except BrokenError as error:
                attempts.pause(error)

    def fetch_blob(self, sha256: str, size_bytes: int, path: Path) -> None:
        """Download a blob beside its path, check it, and rename it; a part that is there stays.

        Raises:
            ArtifactError: it is absent, or not what its digest says.
            UnavailableError: the registry is not reached, or takes too long.
        """
        part = path.with_name(f"{path.name}.part")
        attempts = _Attempts(self.limits)
        while True:
            before = _size_of(part)
            try:
                if before < size_bytes or not part.exists():
                    self._fetch_rest(sha256, size_bytes, part)
                break
            except BrokenError as error:
                attempts.note(has_progress=_size_of(part) > before)
                attempts.pause(error)
        with part.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            os.fsync(stream.fileno())
        if digest != sha256 or _size_of(part) != size_bytes:
            size = _size_of(part)
            part.unlink()
            raise ArtifactError(
                f"{self.reference}: {path.name} that arrived has sha256 {digest} and {size} bytes; "
                f"the manifest says {sha256} and {size_bytes}. It was deleted"
            )
        part.rename(path)

    def _fetch_rest(self, sha256: str, size_bytes: int, part: Path) -> None:
        begin = _size_of(part)
        headers = {"Range": f"bytes={begin}-"} if begin else {}
        with self._ask("GET", f"{self._base}/blobs/sha256:{sha256}", headers) as response:
            if response.status not in (200, 206):
                raise self._refuse(response, f"no blob sha256:{sha256}")
            # a server that knows no ranges sends all of it
            with part.open("ab" if response.status == 206 else "wb", buffering=0) as stream:
                size = begin if response.status == 206 else 0
                for data in pieces(response, self.limits):
                    size += len(data)
                    if size > size_bytes:
                        stream.truncate(0)
                        raise ArtifactError(
                            f"{self.reference}: sha256:{sha256} is longer than the {size_bytes} "
                            "bytes that the manifest says"
                        )
                    _write(stream, data, part)
        if size < size_bytes:
            raise BrokenError(f"{self.reference.host} ended after {size} of {size_bytes} bytes")

    def push_blob(self, sha256: str, size_bytes: int, open_at: OpenAt) -> None:
        """Upload a blob; where the connection breaks it goes on from what has arrived.

        Args:
            sha256: of the blob.
            size_bytes: of the blob.
            open_at: yields its bytes from a place on.

        Raises:
            ArtifactError: the registry refuses it.
            UnavailableError: the registry is not reached, or takes too long.
        """
        attempts = _Attempts(self.limits)
        upload, arrived = "", 0
        while True:
            try:
                if upload:
                    upload, begin = self._upload_state(upload)
                    attempts.note(has_progress=begin > arrived)
                    arrived = begin
                if not upload:
                    upload, arrived = self._begin_upload(), 0
                if arrived < size_bytes:
                    upload = self._send(upload, arrived, size_bytes, open_at)
                return self._finish_upload(upload, sha256)
            except BrokenError as error:
                attempts.pause(error)

    def _begin_upload(self) -> str:
        headers = {"Content-Length": "0"}
        with self._ask("POST", f"{self._base}/blobs/uploads/", headers) as response:
            if response.status != 202:
                raise self._refuse(response, "an upload is refused")
            return self._location(response)

    def _location(self, response: Response) -> str:
        return urljoin(f"{self._base}/", response.getheader("Location", ""))

    def _upload_state(self, upload: str) -> tuple[str, int]:
        """Return where an upload goes on, and from which byte; "" if the registry forgot it."""
        with self._ask("GET", upload) as response:
            if response.status != 204:
                return "", 0
            last = response.getheader("Range", "").rpartition("-")[2]
            arrived = int(last) + 1 if last.isdecimal() and len(last) < 16 else 0
            return self._location(response), arrived if arrived > 1 else 0

    def _send(self, upload: str, begin: int, size_bytes: int, open_at: OpenAt) -> str:
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(size_bytes - begin),
            "Content-Range": f"{begin}-{size_bytes - 1}",
        }
        with self._ask("PATCH", upload, headers, lambda: open_at(begin)) as response:
            if response.status in (404, 416):
                raise BrokenError(f"{self.reference.host} forgot the upload")
            if response.status != 202:
                raise self._refuse(response, "an upload is refused")
            return self._location(response)

    def _finish_upload(self, upload: str, sha256: str) -> None:
        joint = "&" if "?" in upload else "?"
        url = f"{upload}{joint}digest=sha256:{sha256}"
        with self._ask("PUT", url, {"Content-Length": "0"}) as response:
            if response.status == 404:
                raise BrokenError(f"{self.reference.host} forgot the upload")
            if response.status != 201:
                raise self._refuse(response, f"sha256:{sha256} is refused")


def bytes_of(path: Path, begin: int) -> Iterator[bytes]:
    """Yield the bytes of a file from a place on."""
    try:
        with path.open("rb") as stream:
            stream.seek(begin)
            while data := stream.read(CHUNK_BYTES):
                yield data
    except OSError as error:  # not one of the connection
        raise ArtifactError(f"{path} cannot be read: {error.strerror}") from error


def _write(stream: FileIO, data: bytes, path: Path) -> None:
    rest = memoryview(data)
    try:
        while rest:  # without a buffer, which a process that is killed would lose
            rest = rest[stream.write(rest) :]
    except OSError as error:  # not one of the connection
        raise ArtifactError(f"{path} cannot be written: {error.strerror}") from error


@dataclass(slots=True)
class _Attempts:
    """Attempts in a row without progress."""

    limits: Limits
    count: int = 0

    def note(self, *, has_progress: bool) -> None:
        """Begin to count anew after progress."""
        self.count = 0 if has_progress else self.count

    def pause(self, error: BrokenError) -> None:
        """Wait before the next attempt.

        Raises:
            UnavailableError: there was the last one.
        """
        pauses_s = self.limits.pauses_s
        if self.count == len(pauses_s):
            raise UnavailableError(f"{error} ({self.count + 1} attempts)") from error
        time.sleep(pauses_s[self.count])
        self.count += 1
        self.limits.check()


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
