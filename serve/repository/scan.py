"""List the models of an artifacts directory and their versions; load none."""

import re
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from runtime.artifact.manifest import MANIFEST, VERSION, Manifest, read_manifest
from runtime.artifact.signature import TrustedKeys
from runtime.engine.resources import cpu_features
from runtime.errors import ArtifactError, one_line
from runtime.model import choose_variant

LONGEST_REASON = 500  # characters


@dataclass(frozen=True, slots=True)
class Version:
    """A version whose manifest is in order; its other files are not read yet."""

    directory: Path
    manifest: Manifest


@dataclass(frozen=True, slots=True)
class Entry:
    """A model of the directory."""

    id: str
    versions: tuple[Version, ...]  # newest first; empty: none can be loaded
    refused: dict[int, str] = field(default_factory=dict)  # by version, the reason
    root: str = ""  # the directory of all models

    @property
    def size_bytes(self) -> int:
        """Return the size of the newest version's best variant; 0 without a version."""
        if not self.versions:
            return 0
        return sum(file.size_bytes for file in self.versions[0].manifest.variants[0].files)


@dataclass(frozen=True, slots=True)
class Listing:
    """The content of an artifacts directory."""

    entries: tuple[Entry, ...]  # by name
    ignored: tuple[str, ...]  # a sentence for each directory that is no model


def list_models(
    artifacts: Path, *, allow_seeded: bool, trusted: TrustedKeys | None = None
) -> Listing:
    """List what a directory holds: a model is a directory that holds a version.

    Files, and names that begin with ".", are no models. Of a model that cannot be listed the only
    version is 0, which is refused.

    Args:
        artifacts: the directory.
        allow_seeded: list versions with untrained weights too.
        trusted: the keys that may have signed a version; None: it need not be signed.

    Raises:
        ArtifactError: the directory cannot be read, or holds no model.
    """
    try:
        paths = sorted(artifacts.iterdir())
    except OSError as error:
        raise ArtifactError(
            f"{artifacts} cannot be read ({error.strerror}); make it: python -m convert run"
        ) from error
    entries, ignored = [], []
    for path in paths:
        if path.name.startswith(".") or not path.is_dir():
            continue
        entry = _list_versions(path, allow_seeded=allow_seeded, trusted=trusted or TrustedKeys())
        if entry is None:
            ignored.append(f"{path} is no model: it holds no directory of a version (1, 2, ...)")
        else:
            entries.append(entry)
    if not entries:
        raise ArtifactError(f"{artifacts} holds no model; make them: python -m convert run")
    return Listing(tuple(entries), tuple(ignored))


def reason_of(error: Exception) -> str:
    """Return the reason of a refusal in one line."""
    text = one_line(error, most=LONGEST_REASON)
    return text if isinstance(error, ArtifactError) else f"{type(error).__name__}: {text}"


def without_root(text: str, root: str) -> str:
    """Return a text for clients: paths in it begin below the directory of all models.

    Args:
        text: a reason, as the log has it.
        root: of an entry; "" changes nothing.
    """
    # where a path begins: a relative root, as "a", ends other words too
    return re.sub(rf"(?<![\w./-]){re.escape(root.rstrip('/'))}/", "", text) if root else text


def _list_versions(path: Path, *, allow_seeded: bool, trusted: TrustedKeys) -> Entry | None:
    """Return the model of a directory; None if it holds no version at all."""
    try:
        numbers = sorted(
            (int(entry.name) for entry in path.iterdir() if VERSION.fullmatch(entry.name)),
            reverse=True,
        )
    except (OSError, ValueError) as error:
        refused = {0: f"{path} cannot be read: {one_line(error)}"}
        return Entry(path.name, (), refused, str(path.parent))
    if not numbers:
        return None
    versions: list[Version] = []
    refused = {}
    for number in numbers:
        try:
            version = _read_version(path / str(number), allow_seeded=allow_seeded, trusted=trusted)
            versions.append(version)
        except (ArtifactError, OSError) as error:
            refused[number] = reason_of(error)
    return Entry(path.name, tuple(versions), refused, str(path.parent))


def _read_version(directory: Path, *, allow_seeded: bool, trusted: TrustedKeys) -> Version:
    """Read the manifest of a version.

    Raises:
        ArtifactError: it is missing or wrong, not signed as it has to be, of another model or
            version, or has untrained weights and `allow_seeded` is false.
    """
    manifest = read_manifest(directory, partial(trusted.check, directory))
    model = directory.parent.name
    if manifest.id != model:
        raise ArtifactError(f"{directory} holds the model {manifest.id!r}; allowed: {model!r}")
    if str(manifest.version) != directory.name:
        raise ArtifactError(f"{directory}: its {MANIFEST} says version {manifest.version}")
    if manifest.seeded and not allow_seeded:
        raise ArtifactError(
            f"{directory} has seeded weights: they are untrained and its answers mean nothing. "
            "Convert real ones (--weights pretrained), or set SLIPWAY_ALLOW_SEEDED=1"
        )
    return Version(directory, manifest)


def check_loadable(version: Version) -> None:
    """Check that this CPU runs a variant, and that its files have their sizes; hash nothing.

    Raises:
        ArtifactError: naming the CPU features or the file.
    """
    manifest = version.manifest
    files = choose_variant(manifest, cpu_features()).files
    for file in (*files, manifest.golden, *manifest.assets.values()):
        path = version.directory / file.name
        try:
            size_bytes = path.stat().st_size
        except OSError as error:
            raise ArtifactError(f"{path} cannot be read: {error.strerror}") from error
        if size_bytes != file.size_bytes:
            raise ArtifactError(
                f"{path} has {size_bytes} bytes; the manifest says {file.size_bytes}"
            )
