"""Notes of a conversion about the user's files: unused ones, and the warnings of the rest."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from convert import recipe
from convert.errors import CalibrationError
from convert.recipe import Loaded
from convert.samples import sets
from convert.samples.media import MODALITIES
from convert.samples.sets import find_media, from_files
from runtime.artifact.manifest import Resample, TensorSpec

RATE = 16_000


class _Waveforms:
    tensors = (TensorSpec("waveform", "float32", ("N", "S")),)


def loaded() -> Loaded:
    absent: Any = None
    inputs: Any = _Waveforms()
    return Loaded(network=absent, input=inputs, head=absent, preprocess=(Resample(RATE),))


def write_sounds(folder: Path) -> None:
    random = np.random.default_rng(0)
    for index in range(9):
        tone = random.normal(0, 0.1, RATE // 4)
        channels = np.stack([tone, -tone if index < 2 else tone], axis=1)
        soundfile.write(folder / f"{index}.wav", channels, RATE)
    (folder / "again.wav").write_bytes((folder / "5.wav").read_bytes())
    (folder / "notes.docx").touch()
    (folder / ".hidden.wav").touch()


def test_unused_files_and_warnings_are_told(tmp_path: Path, monkeypatch: Any) -> None:
    write_sounds(tmp_path)
    monkeypatch.setattr(sets, "MAX_FILES_PER_SET", 2)
    monkeypatch.setattr(sets, "MAX_TEST_FILES", 2)
    voice = recipe.find("voice_emotion_wav2vec2").recipe
    files = find_media(tmp_path, voice)
    notes = from_files(files, voice, loaded()).notes
    assert notes[0] == "3 more recordings than are used, at most 6"
    assert notes[1] == "1 recordings have the content of another, and count once"
    assert notes[2] == "passed over 1 files of other suffixes: notes.docx"
    monkeypatch.undo()
    cancelling = from_files(files, voice, loaded()).notes[-1]
    assert cancelling.startswith("2 files (")
    assert "cancel" in cancelling


def test_every_kind_takes_a_listener(tmp_path: Path) -> None:
    for modality in MODALITIES.values():
        (medium,) = modality.generate(1, 1)
        sentences: list[str] = []
        encoded = modality.encode(modality.simplify(medium))
        assert modality.read(encoded, sentences.append) is not None
        assert sentences == []


def test_an_unreadable_file_still_stops(tmp_path: Path) -> None:
    write_sounds(tmp_path)
    (tmp_path / "0.wav").write_bytes(b"no sound")
    voice = recipe.find("voice_emotion_wav2vec2").recipe
    with pytest.raises(CalibrationError, match=r"0\.wav"):
        from_files(find_media(tmp_path, voice), voice, loaded())
