"""What a worker can be asked to do. What a job needs is imported by the first that needs it."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from runtime.media.isolation.wire import Message

Job = Callable[[Mapping[str, Any], bytes], Iterator[Message]]  # arguments, encoded media


def _sound(arguments: Mapping[str, Any], data: bytes) -> Iterator[Message]:
    from runtime.media.isolation import sounds

    return sounds.answer(arguments, data)


def _clip(arguments: Mapping[str, Any], data: bytes) -> Iterator[Message]:
    from runtime.media.isolation import clips

    return clips.answer(arguments, data)


JOBS: Mapping[str, Job] = {"sound": _sound, "clip": _clip}
