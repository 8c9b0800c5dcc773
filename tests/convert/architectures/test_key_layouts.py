from pathlib import Path

import convert.architectures


def test_every_architecture_is_listed_with_the_layout_it_follows() -> None:
    listed = convert.architectures.__doc__ or ""
    for path in Path(convert.architectures.__path__[0]).glob("*.py"):
        if path.stem not in ("__init__", "catalogue"):
            assert path.name in listed, path.name
