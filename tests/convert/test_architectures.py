import convert.architectures


def test_every_architecture_is_listed_with_the_layout_it_follows() -> None:
    folder = convert.architectures.__path__[0]
    from pathlib import Path

    listed = convert.architectures.__doc__ or ""
    for path in Path(folder).glob("*.py"):
        if path.stem not in ("__init__", "catalogue"):
            assert path.name in listed, path.name
