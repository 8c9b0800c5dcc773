"""The kinds of media that models are calibrated, verified and evaluated with; one file each."""

from collections.abc import Mapping

from convert.recipe import MediaKind
from convert.samples.media.images import images
from convert.samples.media.modality import Modality
from convert.samples.media.sentences import sentences
from convert.samples.media.voices import voices
from convert.samples.media.walkers import walkers

MODALITIES: Mapping[MediaKind, Modality] = {
    "scene": images("scene"),
    "face": images("face"),
    "voice": voices(),
    "walker": walkers(),
    "sentence": sentences(),
}

__all__ = ["MODALITIES", "Modality"]
