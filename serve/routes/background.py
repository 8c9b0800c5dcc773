"""POST /v1/background, also /api/remove-background: the foreground of an image, cut out.

Its files, options and answer: serve/API.md.
"""

from collections.abc import Mapping
from typing import TypeVar

from runtime import Model
from runtime.cutout.compose import MEDIA_TYPES, Behind, Colour, Format, parse_colour
from runtime.errors import InputError
from runtime.media.images.decode import decode_image
from runtime.tasks import background as task
from serve.catalog.catalog import find
from serve.catalog.facts import Facts, facts_of
from serve.errors import naming
from serve.routes.endpoint import Asked, Picture
from serve.settings import Settings
from serve.text.integers import parse_integer
from serve.text.quoting import quoted
from serve.uploads.parse import Form

T = TypeVar("T")

OPTIONS = ("color", "format", "method", "max_side", "refine", "clean")
FORM = Form(("image", "background"), OPTIONS, least=0)
LEAST_SIDE_PX = 32
FORMATS: Mapping[str, Format] = {"png": "png", "webp": "webp", "jpeg": "jpeg", "jpg": "jpeg"}
METHODS: Mapping[str, task.Method] = {"auto": "auto", "model": "model", "grabcut": "grabcut"}
FLAGS = {"true": True, "false": False, "1": True, "0": False}


def background(asked: Asked) -> Picture:
    """By the model of the route; GrabCut where it cannot."""
    given, settings = asked.upload.options, asked.settings
    form, colour = _form(given), _colour(given)
    behind = _behind(asked, colour)
    if form == "jpeg" and behind is None:
        raise InputError(
            "format is 'jpeg' without color, but JPEG has no transparency; allowed: png, webp, "
            "or jpeg with color=rrggbb or a background"
        )
    wanted = _options(given, settings)
    model = _model(asked, wanted.method)
    cut_out = task.background(asked.upload.files[0], model, wanted)
    facts = _facts(cut_out, model)
    return Picture(facts, cut_out.encode(behind=behind, form=form), MEDIA_TYPES[form])


def _model(asked: Asked, method: task.Method) -> Model | None:
    """The route's model.

    Raises:
        NotFoundError: it is absent, and the method needs it.
    """
    name = asked.settings.background_model
    return find(asked.catalog, name) if method == "model" else asked.catalog.get(name)


def _facts(cut_out: task.CutOut, model: Model | None) -> Facts:
    if cut_out.method == "grabcut" or model is None:
        return Facts(**cut_out.provenance.to_json(), warnings=cut_out.warnings)
    return facts_of(model, cut_out.warnings)


def _options(given: Mapping[str, str], settings: Settings) -> task.Options:
    return task.Options(
        method=_choice(given, "method", METHODS, "auto"),
        max_side_px=_side(given, settings),
        refine=_choice(given, "refine", FLAGS, default=True),
        clean=_choice(given, "clean", FLAGS, default=True),
        max_pixels=settings.max_pixels,
    )


def _form(given: Mapping[str, str]) -> Format:
    return _choice(given, "format", FORMATS, "png")


def _colour(given: Mapping[str, str]) -> Colour | None:
    if "color" not in given:
        return None
    colour = parse_colour(given["color"])
    if colour is None:
        raise InputError(
            f"color is {quoted(given['color'])}; allowed: #rrggbb or #rgb "
            "(# may be left out, or %23)"
        )
    return colour


def _behind(asked: Asked, colour: Colour | None) -> Behind:
    if len(asked.upload.files) == 1:
        return colour
    if colour is not None:
        raise InputError("color and the file background are both given; allowed: one of them")
    with naming("background"):
        return decode_image(asked.upload.files[1], max_pixels=asked.settings.max_pixels)


def _side(given: Mapping[str, str], settings: Settings) -> int:
    if "max_side" not in given:
        return settings.background_max_side_px
    most = settings.background_side_limit_px
    side = parse_integer(given["max_side"], LEAST_SIDE_PX, most)
    if side is None:
        raise InputError(
            f"max_side is {quoted(given['max_side'])}; allowed: {LEAST_SIDE_PX} to {most} px"
        )
    return side


def _choice(given: Mapping[str, str], name: str, allowed: Mapping[str, T], default: T) -> T:
    text = given.get(name)
    if text is None:
        return default
    if text.lower() not in allowed:
        raise InputError(f"{name} is {quoted(text)}; allowed: {', '.join(allowed)}")
    return allowed[text.lower()]
