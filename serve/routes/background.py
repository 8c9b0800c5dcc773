"""POST /v1/background: the foreground of an image, cut out."""

from runtime.results import Alpha
from serve.compose import (
    MEDIA_TYPES,
    OPTIONS,
    check_sides,
    compose,
    limit_side,
    parse_background,
    scale_alpha,
)
from serve.endpoint import Call, Picture, predicted
from serve.media import Form
from serve.models import facts_of
from serve.routes.predict import mask_warnings

FORM = Form(("image",), OPTIONS)


def background(call: Call) -> Picture:
    """At the size of the image."""
    model, settings = call.model, call.settings
    wanted = parse_background(call.upload.options)
    image = call.image()
    height, width = image.shape[:2]
    check_sides(height, width, wanted)
    mask = predicted(model, limit_side(image, settings.background_max_side_px))
    if not isinstance(mask, Alpha):
        raise TypeError(f"{model.spec.id} gave {type(mask).__name__}; a cut-out needs Alpha")
    picture = compose(image, scale_alpha(mask.values, height=height, width=width), wanted)
    return Picture(facts_of(model, mask_warnings(mask)), picture, MEDIA_TYPES[wanted.format])
