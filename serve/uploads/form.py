"""The files and options that a route takes, by name."""

from dataclasses import dataclass

from serve.uploads.options import Option, names_of

PIXEL_BYTES = (
    12  # that a request takes for each pixel of a picture, decoded from 16 bits with alpha
)


@dataclass(frozen=True, slots=True)
class Form:
    """The files and options that a route takes."""

    files: tuple[str, ...]  # field names, one or two; each is one file, but see `least` and `most`
    options: tuple[Option, ...] = ()  # text fields; each may also be a query parameter
    noun: str = "image"  # what messages call a file
    is_text: bool = False  # JSON holds the text itself, not its base64
    least: int = 1  # fewest files in the last field; 0: the field is optional
    most: int = 1  # most files in the last field: multipart repeats it, JSON holds a list
    pixel_bytes: int = PIXEL_BYTES  # of memory, for each pixel of the largest picture
    objects: bool = False  # JSON may hold an object in place of a file, passed on as its text

    @property
    def option_names(self) -> tuple[str, ...]:
        """Return the names of all options, second and former names too."""
        return tuple(name for option in self.options for name in names_of(option))

    @property
    def is_recording(self) -> bool:
        """Return whether the files are clips or sounds, which are decoded in a process."""
        return self.noun in ("video", "sound")

    @property
    def counts(self) -> tuple[int, int]:
        """Return the fewest and the most files of a request."""
        single = len(self.files) - 1
        return single + self.least, single + self.most

    def requires(self, name: str) -> bool:
        """Return whether a request must have a file in this field."""
        return name != self.files[-1] or self.least > 0

    @property
    def takes_batches(self) -> bool:
        """Return whether several files in the first field are requests of their own."""
        return self.most == 1 and (len(self.files) == 1 or self.least == 0)

    @property
    def needed(self) -> str:
        """Return the number of files and their fields in words, for messages."""
        fewest, most = self.counts
        count = str(fewest) if fewest == most else f"{fewest} to {most}"
        last = f"{self.files[-1]} up to {self.most} times" if self.most > 1 else self.files[-1]
        plural = "s" if most > 1 else ""
        return f"{count} {self.noun}{plural} ({', '.join((*self.files[:-1], last))})"
