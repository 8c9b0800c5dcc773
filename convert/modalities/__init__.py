"""Kinds of media that models are calibrated, judged and served with; one file each."""

from collections.abc import Mapping

from convert.modalities.images import images
from convert.modalities.modality import Modality
from convert.modalities.sentences import sentences
from convert.modalities.voices import voices
from convert.modalities.walkers import walkers
from convert.recipe import Kind

MODALITIES: Mapping[Kind, Modality] = {
    "scene": images("scene"),
    "face": images("face"),
    "voice": voices(),
    "walker": walkers(),
    "sentence": sentences(),
}

__all__ = ["MODALITIES", "Modality"]
