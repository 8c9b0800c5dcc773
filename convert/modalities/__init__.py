"""Kinds of media that models are calibrated, judged and served with; one file each."""

from collections.abc import Mapping

from convert.modalities.images import images
from convert.modalities.modality import Modality
from convert.recipe import Kind

MODALITIES: Mapping[Kind, Modality] = {"scene": images("scene"), "face": images("face")}

__all__ = ["MODALITIES", "Modality"]
