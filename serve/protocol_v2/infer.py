"""Answer infer requests of the Open Inference Protocol: parse, run, encode."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

from starlette.responses import Response

from runtime import Model
from runtime.artifact.manifest import Resample, Spec
from runtime.errors import TooLargeError
from runtime.predict.prepare import Bounds
from serve.protocol_v2.chunks import Outputs, join, run_in_chunks
from serve.protocol_v2.request import InferRequest, parse_request
from serve.protocol_v2.response import check_json_size, encode_response, sizes_before_the_run
from serve.protocol_v2.tensors import Array
from serve.scheduling.job import Turns


def infer(
    model: Model,
    body: bytes,
    header_length: str | None,
    *,
    bounds: Bounds | None = None,
    most_media: int = 16,
    room_for: Callable[[bytes], AbstractContextManager[object]] = nullcontext,
) -> Turns[Response]:
    """Parse an infer request, run the model and encode the response. Each medium is a turn.

    Args:
        model: the model to run.
        body: JSON, then the bytes of the binary inputs.
        header_length: the value of the header Inference-Header-Content-Length, the number of bytes
            of JSON; None if all is JSON.
        bounds: the largest media decoded, and the longest waveform.
        most_media: encoded files or texts of a request.
        room_for: makes room in memory to decode a medium.

    Raises:
        InputError: the request does not fit the model, or an output that it requests as JSON holds
            NaN or infinity; the message names the tensor and what is allowed.
        TooLargeError: a waveform is too long, there are too many media, or the JSON of the request
            or of the answer is too large.
    """
    bounds = bounds or Bounds()
    request = parse_request(body, header_length, model.spec, most_media=most_media)
    warnings: tuple[str, ...] = ()
    if request.media:
        outputs, warnings = yield from _run_media(model, request, bounds, room_for)
    else:
        _check_waveform(request.feeds, model.spec, bounds.audio_s)
        check_json_size(request, sizes_before_the_run(request, model.spec))
        outputs = run_in_chunks(model, request.feeds, [output.name for output in request.outputs])
    return encode_response(model, request, outputs, warnings)


def _run_media(
    model: Model,
    request: InferRequest,
    bounds: Bounds,
    room_for: Callable[[bytes], AbstractContextManager[object]],
) -> Turns[tuple[Outputs, tuple[str, ...]]]:
    """Decode, preprocess and run each medium alone: it gets the answer that it gets alone.

    Returns:
        The outputs, and the warnings about the media, each once.
    """
    names = [output.name for output in request.outputs]
    parts: list[Outputs] = []
    warnings: dict[str, None] = {}
    for left, medium in zip(range(len(request.media) - 1, -1, -1), request.media, strict=True):
        with room_for(medium):
            prepared = model.prepare(medium, bounds=bounds)
        warnings.update(dict.fromkeys(prepared.warnings))
        parts.append(run_in_chunks(model, prepared.feeds, names))
        if left:
            yield left
    return join(parts, names), tuple(warnings)


def _check_waveform(feeds: Mapping[str, Array], spec: Spec, max_audio_s: float) -> None:
    """Refuse a waveform longer than `max_audio_s` at the sampling rate of the spec."""
    for step in spec.preprocess:
        if isinstance(step, Resample):
            samples, longest = feeds["waveform"].shape[-1], int(max_audio_s * step.sampling_rate)
            if samples > longest:
                allowed = f"{longest}, {max_audio_s:g} s"
                raise TooLargeError(f"input 'waveform' has {samples} samples; allowed: {allowed}")
