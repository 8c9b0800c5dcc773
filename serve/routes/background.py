"""POST /v1/background, also /api/remove-background: the foreground of an image, cut out.

Its files, options and answer: serve/API.md.
"""

from typing import get_args

from runtime import Model
from runtime.cutout.compose import (
    MEDIA_TYPES,
    Backdrop,
    Colour,
    Format,
    is_transparent,
    parse_colour,
)
from runtime.errors import InputError
from runtime.media.images.decode import decode_photo
from runtime.tasks import background as task
from serve.errors import error_context
from serve.repository.models import find_model
from serve.repository.provenance import AnswerProvenance, provenance_of
from serve.routes.endpoint import ImageReply, RequestContext
from serve.settings import Settings
from serve.text.messages import repr_truncated
from serve.uploads.form import Form
from serve.uploads.options import Choice, Integer, Options, Text, flag

COLOR = Text(
    name="color",
    example="3366ff",
    help="`#rrggbb` or `#rgb` behind the foreground; without it and without a picture, "
    "transparency",
)
FORMAT: Choice[Format] = Choice(
    name="format",
    values={**{word: word for word in get_args(Format)}, "jpg": "jpeg"},
    default="png",
    help="`webp`; `jpeg` with a colour or picture behind",
)
METHOD: Choice[task.Method] = Choice(
    name="method",
    values={word: word for word in get_args(task.Method)},
    default="auto",
    help="`model`; `grabcut`; `auto` uses GrabCut if the model is absent or its mask nearly "
    "constant",
)
MAX_SIDE = Integer(
    name="max_side",
    default=lambda settings: settings.background_max_side_px,
    least=task.SIDES_PX[0],
    most=lambda settings: settings.background_side_limit_px,
    unit="px",
    help="longer side, in px, of the image that edges and colours are fitted in",
)
REFINE = flag(
    "refine", default=True, help="`false`: scale the mask up without fitting its edges to the image"
)
CLEAN = flag(
    "clean",
    default=True,
    help="`false`: half-transparent pixels keep the colour of the old background",
)
OPTIONS = (COLOR, FORMAT, METHOD, MAX_SIDE, REFINE, CLEAN)
FORM = Form(("image", "background"), OPTIONS, least=0, pixel_bytes=19)


def background(context: RequestContext) -> ImageReply:
    """Answer with the image cut out by the route's model, or by GrabCut in its place."""
    options = context.upload.options
    file_format = FORMAT.read(options)
    backdrop, backdrop_warnings = _backdrop(context, _colour(options))
    if file_format == "jpeg" and is_transparent(backdrop):
        raise InputError(
            "format is 'jpeg' without color, but JPEG has no transparency; allowed: png, webp, "
            "or jpeg with color=rrggbb or an opaque background"
        )
    task_options = _task_options(options, context.settings)
    model = _model(context, task_options.method)
    cut_out = task.background(context.photo(with_alpha=True), model, task_options)
    data = cut_out.encode(backdrop=backdrop, form=file_format)
    warnings = (*cut_out.warnings, *backdrop_warnings)
    return ImageReply(_provenance(cut_out, model, warnings), data, MEDIA_TYPES[file_format])


def _model(context: RequestContext, method: task.Method) -> Model | None:
    """Return the route's model; None if it is absent and the method can do without.

    Raises:
        NotFoundError: it is absent, and the method needs it.
    """
    name = context.settings.background_model
    return (
        find_model(context.repository, name) if method == "model" else context.repository.get(name)
    )


def _provenance(
    cut_out: task.CutOut, model: Model | None, warnings: tuple[str, ...]
) -> AnswerProvenance:
    if cut_out.method == "grabcut" or model is None:
        return AnswerProvenance.of(cut_out.provenance, warnings)
    return provenance_of(model, warnings)


def _task_options(options: Options, settings: Settings) -> task.Options:
    return task.Options(
        method=METHOD.read(options),
        max_side_px=MAX_SIDE.read(options, settings),
        refine=REFINE.read(options),
        clean=CLEAN.read(options),
        max_pixels=settings.max_pixels,
    )


def _colour(options: Options) -> Colour | None:
    if "color" not in options:
        return None
    colour = parse_colour(options["color"])
    if colour is None:
        raise InputError(
            f"color is {repr_truncated(options['color'])}; allowed: #rrggbb or #rgb "
            "(# may be left out, or %23)"
        )
    return colour


def _backdrop(context: RequestContext, colour: Colour | None) -> tuple[Backdrop, tuple[str, ...]]:
    """Return the colour or picture behind the foreground, None for transparency; and warnings."""
    if len(context.upload.files) == 1:
        return colour, ()
    if colour is not None:
        raise InputError("color and the file background are both given; allowed: one of them")
    with error_context("background"), context.decoding():
        photo = decode_photo(
            context.upload.files[1], max_pixels=context.settings.max_pixels, with_alpha=True
        )
    return task.backdrop_of(photo), tuple(f"background: {text}" for text in photo.warnings)
