"""POST /v1/background, over HTTP."""

from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from runtime.results import DEGENERATE
from runtime.tasks.background import FELL_BACK, NO_MODEL, NOTHING_FOUND
from serve.settings import Settings
from tests.runtime.support.pictures import encode
from tests.runtime.support.profiles import DISPLAY_P3, SRGB_CURVE, matrix_profile, parametric
from tests.serve.conftest import Serve
from tests.serve.support.requests import FORMS, MULTI_FILE_FORMS, post
from tests.support.artifacts import CLASSIFIER, SEGMENTATION, write_artifact
from tests.support.images import half_white, png, solid

MASK = "/v1/background"
PLAIN = {"refine": "false", "clean": "false"}  # the tiny model's mask, scaled up


def decode(response: httpx.Response) -> NDArray[np.uint8]:
    """Return the pixels of an image response in OpenCV's order: BGR or BGRA."""
    assert response.status_code == 200, response.text
    pixels = cv2.imdecode(np.frombuffer(response.content, np.uint8), cv2.IMREAD_UNCHANGED)
    return np.asarray(pixels, np.uint8)


def disc(*, side: int = 200) -> NDArray[np.uint8]:
    """Return a (side, side, 3) uint8 RGB image that GrabCut segments well: orange on blue."""
    noise = np.random.default_rng(0).integers(0, 25, (side, side, 3), np.uint8)
    image = np.full((side, side, 3), (20, 40, 150), np.uint8)
    cv2.circle(image, (side // 2, side // 2), side // 4, (240, 150, 10), -1, cv2.LINE_AA)
    return np.asarray(cv2.subtract(image, noise), np.uint8)


@pytest.mark.parametrize("form", FORMS)
def test_a_cut_out_is_a_png_with_transparency(client: httpx.Client, form: str) -> None:
    response = post(client, MASK, form, {"image": png(half_white())}, **PLAIN)
    assert response.headers["content-type"] == "image/png"
    assert response.headers["x-model"] == "background_u2netp"
    assert response.headers["x-model-version"] == "1"
    assert len(response.headers["x-model-digest"]) == 64
    assert "x-warnings" not in response.headers
    pixels = decode(response)
    assert pixels.shape == (32, 48, 4)
    assert np.all(pixels[:, :20, 3] == 0)
    assert np.all(pixels[:, 28:] == 255)


def test_the_older_path_is_the_same_route(client: httpx.Client) -> None:
    image = png(half_white())
    older = client.post("/api/remove-background", files={"image": image})
    assert older.content == client.post(MASK, files={"image": image}).content


@pytest.mark.parametrize("size", [(1500, 3000), (1100, 5)])
def test_a_cut_out_has_the_size_of_its_source(client: httpx.Client, size: tuple[int, int]) -> None:
    height, width = size
    image = half_white(height=height, width=width)
    pixels = decode(client.post(MASK, content=png(image), params=PLAIN))
    assert pixels.shape == (height, width, 4)
    assert np.array_equal(pixels[:, :, 2], image[:, :, 0])
    assert np.all(pixels[:, 0, 3] == 0)
    assert np.all(pixels[:, -1, 3] == 255)


def test_removed_pixels_have_no_colour_in_the_file(client: httpx.Client) -> None:
    image = half_white()
    image[:, :16] = (1, 2, 0)  # nearly as dark as the rest of the background
    pixels = decode(client.post(MASK, content=png(image)))
    hidden = pixels[:, :, 3] == 0
    assert hidden.mean() > 0.2
    assert np.all(pixels[hidden] == 0)


def test_a_refined_edge_is_that_of_the_image(client: httpx.Client) -> None:
    image = png(half_white(height=300, width=300))  # the tiny model's cells are 19 px wide
    plain = decode(client.post(MASK, content=image, params=PLAIN))[:, :, 3].astype(int)
    refined = decode(client.post(MASK, content=image))[:, :, 3].astype(int)
    truth = half_white(height=300, width=300)[:, :, 0].astype(int)
    assert np.abs(refined - truth).mean() < 0.7 * np.abs(plain - truth).mean()


def test_edges_are_refined_on_a_reduced_image(artifacts: Path, serve: Serve) -> None:
    image = png(half_white(height=400, width=600))
    coarse = serve(Settings(artifacts=artifacts, background_max_side_px=60))
    fine = {"max_side": "600"}
    truth = half_white(height=400, width=600)[:, :, 0].astype(int)
    errors = [
        np.abs(decode(coarse.post(MASK, content=image, params=options))[:, :, 3] - truth).mean()
        for options in ({}, fine)
    ]
    assert errors[0] != errors[1]
    limits = {"refine": "false", "clean": "false"}
    plain = [
        coarse.post(MASK, content=image, params={**limits, **options}) for options in ({}, fine)
    ]
    # the mask is that of the whole image, whatever the side; scaled up in one step or in two
    assert np.abs(decode(plain[0]).astype(int) - decode(plain[1])).max() <= 20


def test_a_request_may_ask_for_a_side_up_to_the_limit(artifacts: Path, serve: Serve) -> None:
    client = serve(Settings(artifacts=artifacts, background_side_limit_px=512))
    image = png(half_white())
    assert client.post(MASK, content=image, params={"max_side": "512"}).status_code == 200
    refused = client.post(MASK, content=image, params={"max_side": "513"})
    assert refused.status_code == 400
    assert refused.json()["error"] == "max_side is '513'; allowed: 32 to 512 px"


@pytest.mark.parametrize("colour", ["#336699", "336699", "#369", "%23336699", "369"])
def test_a_colour_in_the_query(client: httpx.Client, colour: str) -> None:
    # written into the address as curl would: an unescaped # begins the fragment, so only %23 works
    address = f"{MASK}?refine=false&color={colour.replace('#', '%23')}"
    pixels = decode(client.post(address, content=png(half_white())))
    assert pixels.shape == (32, 48, 3)
    assert np.all(pixels[:, :20] == (0x99, 0x66, 0x33))
    assert np.all(pixels[:, 28:] == 255)


def test_options_as_fields(client: httpx.Client) -> None:
    files, options = {"image": png(half_white())}, {"color": "#00f", "format": "jpeg", **PLAIN}
    answers = [post(client, MASK, form, files, **options) for form in FORMS]
    assert len({answer.content for answer in answers}) == 1
    assert answers[0].headers["content-type"] == "image/jpeg"
    # JPEG's rounding
    assert np.abs(decode(answers[0])[:, :16].astype(int) - (255, 0, 0)).max() <= 3


@pytest.mark.parametrize("form", MULTI_FILE_FORMS)
def test_a_background_picture_is_scaled_to_cover(client: httpx.Client, form: str) -> None:
    # twice as wide as it must be: its middle is seen, red on the left and green on the right
    behind = np.zeros((64, 192, 3), np.uint8)
    behind[:, 48:96], behind[:, 96:144] = (255, 0, 0), (0, 255, 0)
    image = np.zeros((32, 48, 3), np.uint8)
    image[:, 20:28] = 255
    files = {"image": png(image), "background": png(behind)}
    pixels = decode(post(client, MASK, form, files, **PLAIN))
    assert pixels.shape == (32, 48, 3)
    assert np.all(pixels[:, :14] == (0, 0, 255))
    assert np.all(pixels[:, 34:] == (0, 255, 0))
    assert np.all(pixels[:, 23:25] > 200)


def test_a_background_without_an_image_is_refused(client: httpx.Client) -> None:
    response = client.post(MASK, files={"background": png(half_white())})
    assert response.status_code == 400
    assert "image" in response.json()["error"]


def test_webp_carries_the_same_transparency(client: httpx.Client) -> None:
    image = png(half_white(height=64, width=96))
    expected = decode(client.post(MASK, content=image))
    response = client.post(MASK, content=image, params={"format": "webp"})
    assert response.headers["content-type"] == "image/webp"
    np.testing.assert_array_equal(decode(response)[:, :, 3], expected[:, :, 3])


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"format": "jpeg"}, "JPEG has no transparency; allowed: png, webp, or jpeg with color"),
        ({"color": "blue"}, "color is 'blue'; allowed: #rrggbb"),
        ({"color": ""}, "color is ''"),
        ({"format": "gif"}, "format is 'gif'; allowed: png, webp, jpeg"),
        ({"method": "magic"}, "method is 'magic'; allowed: auto, model, grabcut"),
        ({"refine": "much"}, "refine is 'much'; allowed: true, false, 1, 0"),
        ({"max_side": "31"}, "max_side is '31'; allowed: 32 to 4096 px"),
        ({"max_side": "9" * 5000}, "allowed: 32 to 4096 px"),
        ({"size": "5"}, "'size' is unknown; allowed: image, background, color, format, method"),
    ],
)
def test_bad_options(client: httpx.Client, params: dict[str, str], message: str) -> None:
    response = client.post(MASK, content=png(half_white()), params=params)
    assert response.status_code == 400
    assert message in response.json()["error"]


def test_the_file_that_is_refused_is_named(client: httpx.Client) -> None:
    files = {"image": png(disc()), "background": b"no picture"}
    response = client.post(MASK, files=files)
    assert response.status_code == 400
    assert response.json()["error"].startswith("background: found 10 bytes that begin 6e 6f")


def test_a_colour_and_a_background_picture_are_refused_together(client: httpx.Client) -> None:
    files = {"image": png(half_white()), "background": png(half_white())}
    response = client.post(MASK, files=files, data={"color": "fff"})
    assert response.status_code == 400
    assert "both given" in response.json()["error"]


@pytest.mark.parametrize(
    ("side", "kind", "params", "status"),
    [
        (65_500, "png", {"color": "fff", "format": "jpeg"}, 200),
        (65_501, "png", {"color": "fff", "format": "jpeg"}, 400),
        (16_383, "png", {"format": "webp"}, 200),
        (16_384, "png", {"format": "webp"}, 400),
        (70_000, "png", {}, 200),
        (1_000_000, "bmp", {"color": "fff"}, 200),
        (1_000_001, "bmp", {}, 400),
    ],
)
def test_a_side_too_long_for_the_format_of_the_answer(
    client: httpx.Client, side: int, kind: str, params: dict[str, str], status: int
) -> None:
    image = cv2.imencode(f".{kind}", np.zeros((1, side, 3), np.uint8))[1].tobytes()
    response = client.post(MASK, content=image, params=params)
    assert response.status_code == status
    if status == 400:
        assert f"image is {side} x 1 px; allowed: sides of" in response.json()["error"]


def test_a_constant_mask_has_a_warning(client: httpx.Client) -> None:
    image = solid(40, 40, 40)
    by_model = client.post(MASK, content=image, params={"method": "model"})
    assert by_model.headers["x-warnings"] == DEGENERATE
    answer = client.post("/v1/models/background_u2netp", content=image).json()
    assert answer["warnings"] == [DEGENERATE]
    assert answer["result"]["degenerate"] is True
    automatic = client.post(MASK, content=image)
    assert automatic.headers["x-model"] == "grabcut"
    assert automatic.headers["x-warnings"] == f"{FELL_BACK}; {NOTHING_FOUND}"


def test_without_a_model_grabcut_answers(tmp_path: Path, serve: Serve) -> None:
    write_artifact(tmp_path, CLASSIFIER)
    client = serve(Settings(artifacts=tmp_path))
    image = png(disc())
    response = client.post(MASK, content=image)
    assert response.headers["x-model"] == "grabcut"
    assert response.headers["x-model-weights"] == "none"
    assert response.headers["x-warnings"] == NO_MODEL
    alpha = decode(response)[:, :, 3] > 127
    truth = cv2.circle(np.zeros((200, 200), np.uint8), (100, 100), 50, 1, -1) > 0
    assert (alpha & truth).sum() / (alpha | truth).sum() > 0.95  # found 0.967
    assert client.post(MASK, content=image).content == response.content
    asked_for = client.post(MASK, content=image, params={"method": "grabcut"})
    assert "x-warnings" not in asked_for.headers
    refused = client.post(MASK, content=image, params={"method": "model"})
    assert refused.status_code == 404
    assert refused.json() == {
        "error": "model 'background_u2netp' is unknown; known: face_emotion_xception"
    }


def test_grabcut_may_be_chosen_over_the_model(tmp_path: Path, serve: Serve) -> None:
    write_artifact(tmp_path, SEGMENTATION, origin="seeded")
    client = serve(Settings(artifacts=tmp_path, allow_seeded=True))
    response = client.post(MASK, content=png(disc()), params={"method": "grabcut"})
    assert (response.headers["x-model"], response.headers["x-model-weights"]) == ("grabcut", "none")


def encode_rgba(image: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA))[1].tobytes()


def test_the_alpha_of_the_image_stays_in_the_cut_out(client: httpx.Client) -> None:
    alpha = np.full((32, 48), 255, np.uint8)
    alpha[:16] = 0
    alpha[16:20] = 100
    image = encode_rgba(np.dstack([half_white(), alpha]))
    pixels = decode(client.post(MASK, files={"image": image}, params=PLAIN))
    assert np.all(pixels[:16, :, 3] == 0)
    assert np.all(pixels[16:20, 28:, 3] == 100)
    assert np.all(pixels[20:, 28:, 3] == 255)
    assert np.all(pixels[20:, :20, 3] == 0)


def test_a_transparent_background_is_composed(client: httpx.Client) -> None:
    backdrop = np.zeros((32, 48, 4), np.uint8)
    backdrop[:16] = (10, 200, 30, 255)
    files = {"image": png(half_white()), "background": encode_rgba(backdrop)}
    pixels = decode(client.post(MASK, files=files, params=PLAIN))
    assert pixels[4, 4].tolist() == [30, 200, 10, 255]
    assert pixels[28, 4].tolist() == [0, 0, 0, 0]
    assert pixels[28, 44].tolist() == [255, 255, 255, 255]
    refused = client.post(MASK, files=files, params={"format": "jpeg"})
    assert refused.status_code == 400
    assert refused.json()["error"].endswith("or jpeg with color=rrggbb or an opaque background")


def test_a_cut_out_has_the_colours_that_viewers_show_of_the_photo(client: httpx.Client) -> None:
    photo = half_white()
    photo[:, 24:] = (234, 51, 35)  # sRGB's pure red, as Display P3 stores it
    icc = matrix_profile(DISPLAY_P3, parametric(*SRGB_CURVE))
    data = encode(Image.fromarray(photo), "PNG", icc_profile=icc)
    pixels = decode(client.post(MASK, files={"image": data}, params=PLAIN))
    assert np.all(pixels[:, 36:, 3] == 255)
    assert np.abs(pixels[:, 36:, :3].astype(int) - (0, 0, 255)).max() <= 2
    files = {"image": png(half_white()[:, ::-1].copy()), "background": data}
    composed = decode(client.post(MASK, files=files, params=PLAIN))
    np.testing.assert_allclose(composed[4, 44], [0, 0, 255], atol=2)


def test_profiles_that_cannot_be_used_are_warnings(client: httpx.Client) -> None:
    damaged = encode(Image.fromarray(half_white()), "PNG", icc_profile=b"no profile")
    reason = "the colour profile is damaged: it has no signature 'acsp': the colours count as sRGB"
    response = client.post(MASK, files={"image": damaged})
    assert response.headers["x-warnings"] == reason
    files = {"image": png(half_white()), "background": damaged}
    assert client.post(MASK, files=files).headers["x-warnings"] == f"background: {reason}"
