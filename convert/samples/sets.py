"""The samples of a conversion in three sets: calibration, validation and test.

Calibration samples give the ranges of activations. The search for an INT8 graph compares candidates
on the validation samples. Fidelity is reported on the test samples, which the search never sees.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.errors import CalibrationError
from convert.files import sha256
from convert.recipe import Loaded, Recipe
from convert.samples import procedural
from convert.samples.division import JUDGED_TASKS, MAX_FILES_PER_SET, in_turn, judges_first
from convert.samples.media import MODALITIES, Modality
from convert.samples.origins import Origins, distinct_rows, origins
from runtime.engine.session import Feeds
from runtime.errors import InputError

MIN_FILES = 8  # three to calibrate, three to validate, two to test
# what the other sets do not need is for the test: a share is known to 5 % from 100 samples
MAX_TEST_FILES = 512
MAX_TEST_BYTES = 128_000_000  # of test samples beyond MAX_FILES_PER_SET
# a folder of the user: the contents of all its media are hashed, at about 1 GB/s
MAX_FOLDER_ENTRIES, MAX_FOLDER_BYTES = 100_000, 2**36
MAX_MEDIUM_BYTES = 2**31  # as `python -m runtime` reads
MIN_CALIBRATION = 32  # samples whose ranges hold for other media too
SYNTHETIC_CALIBRATION = 64
SYNTHETIC = "synthetic"  # `SampleSets.source` of generated media

Samples = tuple[Feeds, ...]  # arrays by graph input, preprocessed as served, batch axis 1


@dataclass(frozen=True, slots=True)
class SampleSets:
    """The preprocessed inputs of a conversion in three sets: see `convert.samples.division`."""

    source: str  # "synthetic", or "sha256:..." of the files, with "+synthetic" if completed
    calibration: Samples
    validation: Samples
    test: Samples
    sources: tuple[int, ...] | None = None  # one test sample of each new origin; None: all of them
    division: str = ""  # how many media guide and how many judge, where the judges came first
    notes: tuple[str, ...] = ()  # sentences about the user's files: unused, passed over, damaged


def collate(samples: Sequence[Feeds]) -> dict[str, NDArray[Any]]:
    """Join samples to one batch, along the first axis.

    Args:
        samples: of equal shapes; or texts of any length, which are padded with zeros to the longest
            and masked there.
    """
    if "attention_mask" in samples[0]:
        length = max(feeds["attention_mask"].shape[1] for feeds in samples)
        samples = [{name: _pad_tokens(array, length) for name, array in s.items()} for s in samples]
    return {name: np.concatenate([feeds[name] for feeds in samples]) for name in samples[0]}


def _pad_tokens(array: NDArray[Any], length: int) -> NDArray[Any]:
    """Pad (1, L) with zeros to (1, length)."""
    return np.pad(array, ((0, 0), (0, length - array.shape[1])))


def same_shape_indices(samples: Sequence[Feeds], count: int) -> list[int]:
    """Return the indices of `count` samples that `collate` can join.

    They are the first of the most frequent shape, of texts the first of any length. Too few samples
    are repeated from the first.
    """
    if "attention_mask" in samples[0]:
        return _cycle(range(len(samples)), count)
    by_shapes: dict[tuple[Any, ...], list[int]] = {}
    for index, feeds in enumerate(samples):
        shapes = tuple(array.shape for array in feeds.values())
        by_shapes.setdefault(shapes, []).append(index)
    return _cycle(max(by_shapes.values(), key=len), count)


def _cycle(indices: Sequence[int], count: int) -> list[int]:
    return [indices[i % len(indices)] for i in range(count)]


def synthetic_sets(recipe: Recipe, loaded: Loaded) -> SampleSets:
    """Generate the three sets for a recipe's kind of media, preprocessed."""
    modality = MODALITIES[recipe.media]
    count = modality.validation_count
    evaluation = synthetic_samples(modality, loaded, procedural.EVALUATION, 2 * count)
    return SampleSets(
        source=SYNTHETIC,
        calibration=synthetic_calibration(modality, loaded),
        validation=evaluation[:count],
        test=evaluation[count:],
    )


def synthetic_calibration(modality: Modality, loaded: Loaded) -> Samples:
    """Generate SYNTHETIC_CALIBRATION samples of the calibration split, preprocessed."""
    return synthetic_samples(modality, loaded, procedural.CALIBRATION, SYNTHETIC_CALIBRATION)


def synthetic_samples(modality: Modality, loaded: Loaded, split: int, count: int) -> Samples:
    """Generate `count` media of a split of `convert.samples.procedural`, preprocessed."""
    return tuple(modality.to_feeds(medium, loaded) for medium in modality.generate(split, count))


@dataclass(frozen=True, slots=True)
class MediaFiles:
    """The user's media below one directory, each file hashed once."""

    directory: Path
    paths: Mapping[str, Path]  # by content hash, in hash order: equal files count once
    copies: int = 0  # files of a content that another has as well
    others: tuple[Path, ...] = ()  # files of other suffixes

    @property
    def digest(self) -> str:
        """Return "sha256:..." of the contents of all files; their names do not count."""
        return f"sha256:{hashlib.sha256(''.join(self.paths).encode()).hexdigest()}"

    @property
    def labels_digest(self) -> str:
        """Return "sha256:..." of the contents of all files with the names of their folders."""
        labelled = (f"{content} {path.parent.name}" for content, path in self.paths.items())
        return f"sha256:{hashlib.sha256(chr(10).join(labelled).encode()).hexdigest()}"


def find_media(directory: Path, recipe: Recipe) -> MediaFiles:
    """Find and hash the media of a recipe's kind below a directory; skip hidden files.

    The suffix decides the kind; files are read later, by `from_files`. Links to files count, links
    to folders below the directory are not followed.

    Raises:
        CalibrationError: `directory` is no directory, holds more than may be read, or is not
            readable.
    """
    if not directory.is_dir():
        raise CalibrationError(f"{directory}: no such directory")
    suffixes = MODALITIES[recipe.media].suffixes
    try:
        files = sorted(_files_below(directory))
        paths = [path for path in files if path.suffix.lower() in suffixes]
        _check_sizes(directory, paths)
        paths_by_hash = {sha256(path): path for path in paths}
    except OSError as error:
        raise CalibrationError(f"{error.filename or directory}: {error.strerror}") from error
    return MediaFiles(
        directory,
        dict(sorted(paths_by_hash.items())),
        copies=len(paths) - len(paths_by_hash),
        others=tuple(path for path in files if path.suffix.lower() not in suffixes),
    )


def _files_below(directory: Path) -> Iterator[Path]:
    """Yield the files, hidden ones left out; count what is there while it is listed."""
    pending, count = [directory], 0
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                count += 1
                if count > MAX_FOLDER_ENTRIES:
                    raise CalibrationError(
                        f"{directory}: more than {MAX_FOLDER_ENTRIES} files and folders; name a "
                        "folder with fewer: some hundred media are used"
                    )
                if entry.is_dir(follow_symlinks=False):
                    pending.append(Path(entry))
                elif not entry.name.startswith(".") and Path(entry).is_file():
                    yield Path(entry)  # of a link in a circle `entry.is_file` raises


def _check_sizes(directory: Path, paths: Sequence[Path]) -> None:
    total = 0
    for path in paths:
        size = path.stat().st_size
        total += size
        if size > MAX_MEDIUM_BYTES:
            raise CalibrationError(f"{path}: {size} bytes; allowed: {MAX_MEDIUM_BYTES}")
        if total > MAX_FOLDER_BYTES:
            raise CalibrationError(
                f"{directory}: more than {MAX_FOLDER_BYTES} bytes of media; name a folder with "
                "fewer: some hundred are used"
            )


def sample_sets(files: MediaFiles | None, recipe: Recipe, loaded: Loaded) -> SampleSets:
    """Return the samples of a conversion: the user's media, or synthetic ones if `files` is None.

    Raises:
        CalibrationError: see `from_files`.
    """
    if files is None:
        return synthetic_sets(recipe, loaded)
    return complete_calibration(from_files(files, recipe, loaded), recipe, loaded)


def from_files(files: MediaFiles, recipe: Recipe, loaded: Loaded) -> SampleSets:
    """Decode and preprocess the user's media, at most MAX_FILES_PER_SET for calibration and search.

    Where the task has bounds of its own and the media are of enough origins, `judges_first` divides
    them. Else files go in turn, in the order of their content hash, to calibration, validation and
    test, so that no content is in two sets; files beyond that are test samples, up to
    MAX_TEST_FILES and MAX_TEST_BYTES in all. The rest is not used.

    Raises:
        CalibrationError: there are fewer than MIN_FILES different files, or one is not readable.
    """
    modality = MODALITIES[recipe.media]
    if len(files.paths) < MIN_FILES:
        suffixes = ", ".join(sorted(modality.suffixes))
        raise CalibrationError(
            f"{files.directory}: {len(files.paths)} different {modality.noun} ({suffixes}); "
            f"needed: at least {MIN_FILES}"
        )
    warnings: dict[str, list[Path]] = {}  # the files of each
    samples: list[Feeds] = []
    for path in files.paths.values():
        if _enough(samples):
            break
        samples.append(_read(path, len(samples), modality, loaded, warnings))
    groups = origins(samples)
    notes = [*_unused(files, modality.noun, len(samples))]
    task = loaded.task or recipe.task
    division = judges_first(groups, largest_test(samples)) if task in JUDGED_TASKS else None
    sentence = ""
    if division is not None:
        sentence = division.describe(modality.noun)
        sets: tuple[Sequence[int], ...] = division.calibration, division.validation, division.test
        rows = tuple(range(len(division.test)))
        notes += [sentence, *_alike(samples, groups, modality.noun)]
    else:
        sets = in_turn(len(samples), MAX_FILES_PER_SET)
        test = [samples[row] for row in sets[2]]
        rows = distinct_rows(test, seen=[samples[row] for row in (*sets[0], *sets[1])])
        notes += _alike_of_test(len(test) - len(rows), modality.noun)
    calibration, validation, judges = (tuple(samples[row] for row in rows) for rows in sets)
    notes += _warning_notes(warnings)
    return SampleSets(files.digest, calibration, validation, judges, rows, sentence, tuple(notes))


def _enough(samples: Sequence[Feeds]) -> bool:
    """Return whether no set would take another sample."""
    beyond = samples[2 * MAX_FILES_PER_SET :]
    return len(samples) >= 3 * MAX_FILES_PER_SET and (
        len(beyond) >= MAX_TEST_FILES or _bytes(beyond) >= MAX_TEST_BYTES
    )


def largest_test(samples: Sequence[Feeds]) -> int:
    """Return how many samples of this size may judge at most."""
    fitting = MAX_TEST_BYTES * len(samples) // max(1, _bytes(samples))
    return min(MAX_TEST_FILES, max(MAX_FILES_PER_SET, fitting))


def _bytes(samples: Sequence[Feeds]) -> int:
    return sum(array.nbytes for feeds in samples for array in feeds.values())


def _alike(samples: Sequence[Feeds], groups: Origins, noun: str) -> Iterator[str]:
    count = len(samples) - len(groups)
    if count:
        yield f"{count} {noun} look like others, and are not used"


def _alike_of_test(count: int, noun: str) -> Iterator[str]:
    if count:
        yield f"{count} test {noun} look like others, and are no evidence of their own"


def _unused(files: MediaFiles, noun: str, used: int) -> Iterator[str]:
    """Yield a sentence for each reason why files of the folder are not used."""
    more = len(files.paths) - used
    if more > 0:
        yield f"{more} more {noun} than are used, at most {used}"
    if files.copies:
        yield f"{files.copies} {noun} have the content of another, and count once"
    if files.others:
        yield f"passed over {len(files.others)} files of other suffixes: {_names(files.others)}"


def _warning_notes(warnings: Mapping[str, Sequence[Path]]) -> Iterator[str]:
    for warning, paths in warnings.items():
        yield f"{len(paths)} files ({_names(paths)}): {warning}"


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(path.name for path in paths[:3]) + (", ..." if len(paths) > 3 else "")


def complete_calibration(sets: SampleSets, recipe: Recipe, loaded: Loaded) -> SampleSets:
    """Add synthetic calibration samples if there are fewer than MIN_CALIBRATION.

    The extremes of a handful of photos clip what other photos show. U-2-Net calibrated on four had
    an IoU of 0.984 on five others, and of 0.990 with synthetic samples added. Validation and test
    stay the user's own media.
    """
    if len(sets.calibration) >= MIN_CALIBRATION:
        return sets
    synthetic = synthetic_calibration(MODALITIES[recipe.media], loaded)
    calibration = (*sets.calibration, *synthetic)
    return replace(sets, source=f"{sets.source}+synthetic", calibration=calibration)


def _read(
    path: Path, number: int, modality: Modality, loaded: Loaded, warnings: dict[str, list[Path]]
) -> Feeds:
    """Decode and preprocess a file; its number in the set selects the condition of a clip.

    Adds the file to each of its warnings.
    """

    def warn(warning: str) -> None:
        warnings.setdefault(warning, []).append(path)

    try:
        medium = modality.with_condition(modality.read(path.read_bytes(), warn), number)
        return modality.to_feeds(medium, loaded, warn)
    except InputError as error:
        raise CalibrationError(f"{path}: {error}") from error
