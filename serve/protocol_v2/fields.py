"""Read the fields of a request's JSON, and name what is wrong with them."""

from collections.abc import Mapping
from typing import Any

from runtime.errors import InputError
from serve.text.messages import json_type, repr_truncated

SHARED_MEMORY = "shared_memory_"  # begins the parameters of an extension that is not offered


def name_of(
    entry: Mapping[str, Any], kind: str, names: Mapping[str, object], parsed: Mapping[str, object]
) -> str:
    """Return the name of an entry, which must be one of the model's and not yet parsed."""
    value = entry.get("name")
    if not isinstance(value, str) or value not in names:
        raise InputError(f"{kind} {repr_truncated(value)} is unknown; known: {', '.join(names)}")
    if value in parsed:
        raise InputError(f"{kind} {value!r} is given twice; allowed: once")
    return value


def parameters_of(holder: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    """Return the `parameters` of a request, input or output; refuse shared memory."""
    values = object_of(holder.get("parameters") or {}, f"parameters of {place}")
    for name in values:
        if name.startswith(SHARED_MEMORY):
            raise InputError(f"{place} has the parameter {name!r}; shared memory is not offered")
    return values


def flag_of(parameters: Mapping[str, Any], name: str, default: bool, place: str) -> bool:
    """Return a parameter that must be true or false."""
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise InputError(f"{name} of {place} is {repr_truncated(value)}; allowed: true or false")
    return value


def objects_of(content: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """Return the field `name`, which must be a list of objects."""
    entries = content.get(name)
    if not isinstance(entries, list):
        raise InputError(f"{name} is {json_type(entries)}; allowed: a list of objects")
    return [object_of(entry, f"{name}[{index}]") for index, entry in enumerate(entries)]


def object_of(value: Any, place: str) -> Mapping[str, Any]:
    """Return a value that must be an object; `place` names it in the message."""
    if not isinstance(value, dict):
        raise InputError(f"{place} is {json_type(value)}; allowed: an object")
    return value
