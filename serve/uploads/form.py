"""What a route takes: its files and options by name."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Form:
    """What a route takes."""

    files: tuple[str, ...]  # field names, one or two; each is one file, but see `least` and `most`
    options: tuple[str, ...] = ()  # text fields, which may also be query parameters
    noun: str = "image"  # what a file is, in messages
    is_text: bool = False  # JSON then holds the text itself, not its base64
    least: int = 1  # of the last field: how few files it brings; 0 where it may be left out
    most: int = 1  # and how many: the field is repeated, in JSON it is a list
    objects: bool = False  # in JSON an object may stand for a file; it is handed on as JSON text

    @property
    def counts(self) -> tuple[int, int]:
        """The fewest and the most files of a request."""
        single = len(self.files) - 1
        return single + self.least, single + self.most

    @property
    def separable(self) -> bool:
        """Whether several files in the first field are several questions."""
        return self.most == 1 and (len(self.files) == 1 or self.least == 0)

    @property
    def needed(self) -> str:
        """How many files, and in which fields, as messages say it."""
        fewest, most = self.counts
        count = str(fewest) if fewest == most else f"{fewest} to {most}"
        last = f"{self.files[-1]} up to {self.most} times" if self.most > 1 else self.files[-1]
        plural = "s" if most > 1 else ""
        return f"{count} {self.noun}{plural} ({', '.join((*self.files[:-1], last))})"
