"""JSON Schema of Python types: of TypedDicts, dataclasses and what they hold.

A type with a name becomes a component, which others refer to. A string in `Annotated` describes a
field; one that begins with "deprecated" marks it so.
"""

import dataclasses
import inspect
import types
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    TypeAlias,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

Json: TypeAlias = dict[str, Any]

SCALARS: Mapping[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}
DEPRECATED = "deprecated"


@dataclasses.dataclass(frozen=True, slots=True)
class Keywords:
    """Further keywords of a schema, in `Annotated`."""

    values: Mapping[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class AnyOf:
    """The types of a value that `Any` stands for, in `Annotated`."""

    types: Sequence[Any]


class Schemas:
    """The components of a document, by name, as types are asked for."""

    def __init__(self) -> None:
        """Begin with none."""
        self.components: dict[str, Json] = {}
        self._types: dict[str, Any] = {}

    def of(self, annotation: Any) -> Json:
        """Return the schema of a type; of one with a name a reference to its component.

        Raises:
            TypeError: the type has no schema, or its name is that of another type.
        """
        origin = get_origin(annotation)
        if origin is Annotated:
            return self._annotated(*get_args(annotation))
        if origin is NotRequired:
            return self.of(get_args(annotation)[0])
        if annotation is Any:
            return {}
        if annotation is None or annotation is types.NoneType:
            return {"type": "null"}
        if annotation in SCALARS:
            return {"type": SCALARS[annotation]}
        if origin is not None or isinstance(annotation, types.UnionType):
            return self._generic(annotation, origin)
        if inspect.isclass(annotation) and issubclass(annotation, Enum):
            return {"type": "string", "enum": [member.value for member in annotation]}
        if is_typeddict(annotation) or dataclasses.is_dataclass(annotation):
            return self._component(annotation)
        raise TypeError(f"{annotation} has no JSON Schema")

    def _annotated(self, annotation: Any, *notes: Any) -> Json:
        schema = self.of(annotation)
        for note in notes:
            if isinstance(note, Keywords):
                schema = {**schema, **note.values}
            elif isinstance(note, AnyOf):
                schema = {"anyOf": [self.of(one) for one in note.types]}
            elif isinstance(note, str):
                mark = {"deprecated": True} if note.startswith(DEPRECATED) else {}
                schema = {**schema, "description": note, **mark}
        return schema

    def _generic(self, annotation: Any, origin: Any) -> Json:
        arguments = get_args(annotation)
        if origin is Literal:
            return {"type": "string", "enum": list(arguments)}
        if origin in (Union, types.UnionType):
            return self._union(arguments)
        if issubclass(origin, Mapping):
            return {"type": "object", "additionalProperties": self.of(arguments[1])}
        if issubclass(origin, Sequence):
            return {"type": "array", "items": self.of(arguments[0])}
        raise TypeError(f"{annotation} has no JSON Schema")

    def _union(self, arguments: Sequence[Any]) -> Json:
        parts = [self.of(argument) for argument in arguments]
        if all(set(part) == {"type"} for part in parts):
            return {"type": [part["type"] for part in parts]}
        return {"anyOf": parts}

    def _component(self, cls: Any) -> Json:
        name = cls.__name__.removesuffix("Json")
        known = self._types.setdefault(name, cls)
        if known is not cls:
            raise TypeError(f"{cls} and {known} have the same name")
        if name not in self.components:
            self.components[name] = {}  # a type may hold itself
            self.components[name] = self._object(cls)
        return {"$ref": f"#/components/schemas/{name}"}

    def _object(self, cls: Any) -> Json:
        hints = get_type_hints(cls, include_extras=True)
        if is_typeddict(cls):
            required = sorted(cls.__required_keys__, key=list(hints).index)
        else:
            required = [f.name for f in dataclasses.fields(cls) if _is_required(f)]
        return {
            "type": "object",
            "description": (inspect.getdoc(cls) or "").partition("\n\n")[0].replace("\n", " "),
            "properties": {name: self.of(hint) for name, hint in hints.items()},
            "required": required,
            "additionalProperties": False,
        }


def _is_required(field: "dataclasses.Field[Any]") -> bool:
    missing = dataclasses.MISSING
    return field.default is missing and field.default_factory is missing
