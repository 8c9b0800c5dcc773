"""The jobs that a worker offers. Each imports its libraries on first use, to keep workers small."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from runtime.media.isolation.wire import Message

# takes the JSON fields of the job's request and an encoded file, and yields the parts of the answer
Job = Callable[[Mapping[str, Any], bytes], Iterator[Message]]


def _sound(arguments: Mapping[str, Any], data: bytes) -> Iterator[Message]:
    from runtime.media.isolation import sounds

    return sounds.answer(arguments, data)


def _clip(arguments: Mapping[str, Any], data: bytes) -> Iterator[Message]:
    from runtime.media.isolation import clips

    return clips.answer(arguments, data)


JOBS: Mapping[str, Job] = {"sound": _sound, "clip": _clip}
