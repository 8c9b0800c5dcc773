"""Convert JSON to frozen dataclasses and back; refuse fields that a dataclass does not declare.

The dataclasses of `runtime.artifact.manifest` are the only definition of the format; this module
reads their annotations. Every error names the place, the value there and what is allowed.
"""

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from runtime.errors import ArtifactError

T = TypeVar("T")


def parse(cls: type[T], value: object, where: str) -> T:
    """Build a dataclass from parsed JSON.

    Args:
        cls: a frozen dataclass. Its annotations may use str, int, float, bool, tuple[X, ...],
            Mapping[str, X], Literal, X | None, other dataclasses, and unions of dataclasses
            whose Literal field `op` says which one it is.
        value: from json.loads.
        where: file and path, the beginning of every error message ("manifest.json").

    Raises:
        ArtifactError: a field is missing, of another type, or unknown; unknown fields whose names
            start with `x_` are ignored.
    """
    parsed: T = _parse(cls, value, where)
    return parsed


def to_json(value: Any) -> Any:
    """Convert a tree of dataclasses to dicts, lists and scalars: the inverse of `parse`."""
    if dataclasses.is_dataclass(value):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: to_json(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [to_json(item) for item in value]
    return value


def _parse(annotation: Any, value: object, where: str) -> Any:
    if annotation is Any:
        return value
    if dataclasses.is_dataclass(annotation):
        return _parse_dataclass(annotation, value, where)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return _parse_union(arguments, value, where)
    if origin is Literal:
        if value not in arguments:
            raise ArtifactError(f"{where} is {value!r}; allowed: {_join(arguments)}")
        return value
    if origin is tuple:
        items = _expect(list, value, where)
        return tuple(_parse(arguments[0], v, f"{where}[{i}]") for i, v in enumerate(items))
    if origin is not None and issubclass(origin, Mapping):
        entries = _expect(dict, value, where)
        return {k: _parse(arguments[1], v, f"{where}.{k}") for k, v in entries.items()}
    return _expect(annotation, value, where)


def _parse_dataclass(cls: Any, value: object, where: str) -> Any:
    entries = _expect(dict, value, where)
    fields = {f.name: f for f in dataclasses.fields(cls)}
    unknown = [key for key in entries if key not in fields and not key.startswith("x_")]
    if unknown:
        raise ArtifactError(f"{where}.{unknown[0]} is not a known field; known: {_join(fields)}")
    required = {name for name, f in fields.items() if not _has_default(f)}
    missing = sorted(required - entries.keys())
    if missing:
        raise ArtifactError(f"{where}.{missing[0]} is missing")
    hints = get_type_hints(cls)
    declared = {key: item for key, item in entries.items() if key in fields}
    return cls(**{k: _parse(hints[k], item, f"{where}.{k}") for k, item in declared.items()})


def _has_default(field: dataclasses.Field[Any]) -> bool:
    missing = dataclasses.MISSING
    return field.default is not missing or field.default_factory is not missing


def _parse_union(members: tuple[Any, ...], value: object, where: str) -> Any:
    if type(None) in members:
        others = tuple(m for m in members if m is not type(None))
        return None if value is None else _parse(Union[others], value, where)  # noqa: UP007
    if all(dataclasses.is_dataclass(member) for member in members):
        return _parse_tagged(members, value, where)
    allowed = tuple(m for m in members if isinstance(m, type))
    if not isinstance(value, allowed) or isinstance(value, bool):
        raise ArtifactError(f"{where} is {value!r}; allowed: {_join(m.__name__ for m in allowed)}")
    return value


def _parse_tagged(members: tuple[Any, ...], value: object, where: str) -> Any:
    entries = _expect(dict, value, where)
    by_op = {get_args(get_type_hints(member)["op"])[0]: member for member in members}
    op = entries.get("op")
    if not isinstance(op, str) or op not in by_op:
        raise ArtifactError(f"{where}.op is {op!r}; known ops: {_join(sorted(by_op))}")
    return _parse_dataclass(by_op[op], entries, where)


def _expect(expected: type, value: object, where: str) -> Any:
    if expected is float and type(value) is int:
        try:
            return float(value)
        except OverflowError:
            raise ArtifactError(f"{where} has {len(str(value))} digits; allowed: float") from None
    # bool is a subclass of int, but `true` is no number
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        raise ArtifactError(
            f"{where} is {str(value)[:80]!r} ({type(value).__name__}); allowed: {expected.__name__}"
        )
    return value


def _join(names: Any) -> str:
    return ", ".join(str(name) for name in names)
