"""The sources of published weights, and the checks of a downloaded file."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from convert import files


@dataclass(frozen=True, slots=True)
class Expected:
    """The size and hashes that a file must have; None: not known. Hashes in lower-case hex."""

    sha256: str | None = None
    sha256_prefix: str | None = None  # torch hub puts the first 8 characters into the file's name
    md5: str | None = None  # guards against damage, not against malice; better than nothing
    size_bytes: int | None = None

    @property
    def pinned(self) -> bool:
        """Return whether any hash is known."""
        return bool(self.sha256 or self.sha256_prefix or self.md5)

    def mismatch(self, path: Path) -> str | None:
        """Return how a file differs from what is expected, with both values; None: it does not."""
        size = path.stat().st_size
        if self.size_bytes is not None and size != self.size_bytes:
            return f"{size} bytes found; {self.size_bytes} expected"
        sha256 = files.sha256(path)
        if self.sha256 is not None and sha256 != self.sha256:
            return f"sha256 {sha256} found; {self.sha256} expected"
        if self.sha256_prefix is not None and not sha256.startswith(self.sha256_prefix):
            return f"sha256 {sha256} found; one that begins with {self.sha256_prefix} expected"
        if self.md5 is not None and (md5 := files.digest(path, "md5")) != self.md5:
            return f"md5 {md5} found; {self.md5} expected"
        return None


@dataclass(frozen=True, slots=True)
class Source:
    """One public file.

    If no SHA-256 is pinned, that of the first download is recorded, and later ones must match it.
    """

    address: str  # https; of a fixed revision if the host has revisions
    licence: str
    sha256: str | None = None
    sha256_prefix: str | None = None
    md5: str | None = None
    size_bytes: int | None = None

    @property
    def name(self) -> str:
        """Return the file's name."""
        return self.address.rsplit("/", 1)[-1]

    @property
    def expected(self) -> Expected:
        """Return the size and hashes that the file must have."""
        return Expected(self.sha256, self.sha256_prefix, self.md5, self.size_bytes)


@dataclass(frozen=True, slots=True)
class HubSource:
    """Files of a Hugging Face repository, which become one directory.

    The commit of the first download and the SHA-256 of each of its files are recorded, and later
    downloads must match them.
    """

    repository: str  # owner/name
    licence: str
    files: tuple[str, ...]  # all needed
    one_of: tuple[str, ...] = ()  # the first of these that the repository has is needed too
    optional: tuple[str, ...] = ()  # downloaded if the repository has them
    revision: str | None = None  # commit, branch or tag; None: `main` at the first download
    expected: dict[str, Expected] = field(default_factory=dict)  # by file, beyond what the hub says

    @property
    def address(self) -> str:
        """Return the address of the repository's web page, for messages."""
        at = f"/tree/{self.revision}" if self.revision else ""
        return f"https://huggingface.co/{self.repository}{at}"


@dataclass(frozen=True, slots=True)
class PackageSource:
    """A file or a folder of a Python package, which is installed for it and never imported.

    requirements/weights.txt lists the packages with their hashes.
    """

    package: str  # its name in the package registry
    version: str
    path: str  # of the file or folder, from the folder that packages are installed in
    sha256: str | Mapping[str, str]  # of the file; of a folder: of each of its files, by name
    licence: str  # of the weights; that of the package around them may differ

    @property
    def address(self) -> str:
        """Return package, version and path, for messages and manifests."""
        return f"Python package {self.package} {self.version}, {self.path}"

    @property
    def hashes(self) -> Mapping[str, str]:
        """Return the SHA-256 of each file, by path from the folder that packages are in."""
        if isinstance(self.sha256, str):
            return {self.path: self.sha256}
        return {f"{self.path}/{name}": value for name, value in self.sha256.items()}


AnySource = Source | HubSource
