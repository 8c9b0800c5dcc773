"""Join the texts of several workers: each figure gets the label `worker`."""

from collections.abc import Iterator, Mapping

_HELP = "# HELP "


def merge_texts(texts: Mapping[int, str]) -> str:
    """Return one text, with the samples of a family together, as the format demands.

    Args:
        texts: of the workers, by number, as `generate_latest` writes them.
    """
    heads: dict[str, list[str]] = {}  # the comments of a family, by its name
    samples: dict[str, list[str]] = {}
    for worker, text in texts.items():
        for name, comments, lines in _families(text):
            heads.setdefault(name, comments)
            samples.setdefault(name, []).extend(_labelled(line, worker) for line in lines)
    joined = (line for name, comments in heads.items() for line in (*comments, *samples[name]))
    return "\n".join(joined) + "\n"


def _families(text: str) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield the name, comments and samples of each family."""
    for part in text.split(_HELP)[1:]:
        lines = (_HELP + part).splitlines()
        comments = [line for line in lines if line.startswith("#")]
        yield part.split(maxsplit=1)[0], comments, [line for line in lines if line[:1] != "#"]


def _labelled(line: str, worker: int) -> str:
    """Return a sample with the label; values of labels are escaped, so that none has a line end."""
    label = f'worker="{worker}"'
    name, brace, rest = line.partition("{")
    if brace:
        return f"{name}{{{label},{rest}"
    name, _, value = line.partition(" ")
    return f"{name}{{{label}}} {value}"
