"""Where a recipe's weights are published, and what is known of a file before it is there."""

from dataclasses import dataclass, field
from pathlib import Path

from convert import files


@dataclass(frozen=True, slots=True)
class Expected:
    """What a file must be; None: not known. Hashes in lower-case hex."""

    sha256: str | None = None
    sha256_prefix: str | None = None  # torch hub's convention: the file's name carries the first 8
    md5: str | None = None  # guards against damage, not against malice; better than nothing
    size_bytes: int | None = None

    @property
    def pinned(self) -> bool:
        """Whether any hash is known."""
        return bool(self.sha256 or self.sha256_prefix or self.md5)

    def refusal(self, path: Path) -> str | None:
        """How a file differs from what was expected, with both values; None: it is the file."""
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
    """One public file. Where no hash is known, that of the first download counts ever after."""

    address: str  # https, of a fixed revision where the host has revisions
    licence: str
    sha256: str | None = None
    sha256_prefix: str | None = None
    md5: str | None = None
    size_bytes: int | None = None

    @property
    def name(self) -> str:
        """What the file is called."""
        return self.address.rsplit("/", 1)[-1]

    @property
    def expected(self) -> Expected:
        """What is known of the file."""
        return Expected(self.sha256, self.sha256_prefix, self.md5, self.size_bytes)


@dataclass(frozen=True, slots=True)
class HubSource:
    """Files of a Hugging Face repository, which become one directory.

    The revision of the first download, and the hash of each file of it, count ever after.
    """

    repository: str  # owner/name
    licence: str
    files: tuple[str, ...]  # all needed
    one_of: tuple[str, ...] = ()  # the first of these that the repository has is needed too
    optional: tuple[str, ...] = ()  # taken where the repository has them
    revision: str | None = None  # commit, branch or tag; None: what `main` is at the first download
    expected: dict[str, Expected] = field(default_factory=dict)  # by file, where more is known
    package: str | None = None  # <installed Python package>/<folder> with the same files

    @property
    def address(self) -> str:
        """For people."""
        at = f"/tree/{self.revision}" if self.revision else ""
        return f"https://huggingface.co/{self.repository}{at}"


AnySource = Source | HubSource
