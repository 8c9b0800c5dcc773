"""Text into HTML. Names of classes, licences and addresses are whatever a checkpoint says."""

import html
import re
from collections.abc import Iterable

# not allowed in HTML, even escaped; tab and newline are
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def text(value: object) -> str:
    """Escaped for an element or a quoted attribute."""
    return html.escape(_CONTROL.sub("\N{REPLACEMENT CHARACTER}", str(value)), quote=True)


def foreign(value: object) -> str:
    """Text that others wrote: what it says of its direction ends with it."""
    return f"<bdi>{text(value)}</bdi>"


def link(value: str) -> str:
    """As `foreign`, and a link where it is an https address and nothing else."""
    if not value.startswith("https://") or any(each.isspace() for each in value):
        return foreign(value)
    return f'<a href="{text(value)}" rel="noreferrer">{foreign(value)}</a>'


def listed(items: Iterable[str]) -> str:
    """A list of elements that are markup already."""
    return f"<ul>{''.join(f'<li>{item}</li>' for item in items)}</ul>"
