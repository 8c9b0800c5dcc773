"""Count what the test samples can prove, by the float graph's answers, and what is lacking."""

import math
from dataclasses import dataclass
from fractions import Fraction

from convert.samples.division import GUIDE_SHARE, MIN_JUDGES
from convert.samples.sets import MAX_TEST_FILES

MIN_SOURCES = MIN_JUDGES  # inputs of different origin
JUDGING_SHARE = Fraction(GUIDE_SHARE - 1, GUIDE_SHARE)  # of the media of --calibration


@dataclass(frozen=True, slots=True)
class Evidence:
    """Counts of the test samples.

    Attributes:
        sources: test samples of different origin.
        sure: sure inputs or boxes; None: the task needs none.
        sure_noun: "sure inputs" or "sure boxes".
        sure_needed: so many of them are enough.
        classes: those that float is sure of in three inputs and more, and all that it is sure of.
        is_generated: the samples are synthetic; none of them tells of the user's media.
        largest: test samples that are used at most.
    """

    sources: int
    sure: int | None = None
    sure_noun: str = ""
    sure_needed: int = 0
    classes: tuple[int, int] | None = None
    is_generated: bool = False
    largest: int = MAX_TEST_FILES

    @property
    def shortage(self) -> str:
        """Return what is lacking, in words; empty if nothing is."""
        parts = []
        if self.sources < MIN_SOURCES:
            parts.append(f"{MIN_SOURCES - self.sources} more test media")
        if self.sure is not None and self.sure < self.sure_needed:
            parts.append(f"{self.sure_needed - self.sure} more {self.sure_noun}")
        return " and ".join(parts)

    @property
    def advice(self) -> str:
        """Return what to do about the shortage, in a sentence; empty if there is none."""
        return self.to_have(self._sources_needed) if self.shortage else ""

    @property
    def _sources_needed(self) -> int | None:
        """Return how many test samples like these would do; None: it cannot be told."""
        if self.sure is None or self.sure >= self.sure_needed:
            return MIN_SOURCES
        if not self.sure or self.is_generated:
            return None
        return max(MIN_SOURCES, math.ceil(self.sure_needed * self.sources / self.sure))

    def to_have(self, sources: int | None) -> str:
        """Return how to come to so many test samples, in a sentence; None: it cannot be told."""
        if self.is_generated:
            least = math.ceil(MIN_SOURCES / JUDGING_SHARE)
            enough = (
                f", with {self.sure_needed} {self.sure_noun} among them" if self.sure_noun else ""
            )
            return (
                f"generated media cannot settle it: give --calibration DIR with {least} and more "
                f"like those you will serve{enough}"
            )
        labelled = f"give --labelled DIR, {MIN_SOURCES} labelled media and more"
        if sources is None:
            return f"float is sure of nothing in these media: {labelled}"
        if sources > self.largest:
            return (
                f"{sources} test media like these would settle it, and {self.largest} are used at "
                f"most: {labelled}"
            )
        more = math.ceil((sources - self.sources) / JUDGING_SHARE)
        return f"about {more} more media like these in --calibration would settle it"

    def __str__(self) -> str:
        """Return the counts."""
        sure = "" if self.sure is None else f" with {self.sure} {self.sure_noun}"
        noun = "generated test media" if self.is_generated else "test media of different origin"
        return f"{self.sources} {noun}{sure}"

    def to_json(self) -> dict[str, int]:
        """Return the fields for the manifest."""
        fields = {"sources": self.sources}
        if self.sure is not None:
            fields[self.sure_noun.replace(" ", "_")] = self.sure
        if self.classes is not None:
            fields["classes_judged"], fields["classes_seen"] = self.classes
        return fields
