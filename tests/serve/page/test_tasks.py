"""Each task in a real Chromium: what the page shows is what the server answers."""

import os
import re
from pathlib import Path

import httpx
import numpy as np
import pytest
from playwright.sync_api import BrowserContext, FilePayload, Locator, expect

from serve.page.files import STATIC
from serve.settings import Settings
from tests.serve.conftest import Serve
from tests.serve.page.conftest import Tab, watched

SAMPLES = STATIC / "samples"
ANSWERED = ".timing:not(:empty)"
REAL = os.environ.get("SLIPWAY_ARTIFACTS", "")


def sample(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def file(name: str, content: bytes, media_type: str = "image/png") -> FilePayload:
    return {"name": name, "mimeType": media_type, "buffer": content}


def ask(client: httpx.Client, path: str, **fields: bytes | str) -> httpx.Response:
    files = [
        (name, (name, value) if isinstance(value, bytes) else (None, value))
        for name, value in fields.items()
    ]
    response = client.post(path, files=files)
    assert response.status_code == 200, response.text
    return response


def shown_bars(place: Locator) -> list[tuple[str, str]]:
    return [
        (row.locator(".name").inner_text(), row.locator(".value").inner_text())
        for row in place.locator("li").all()
    ]


def expected_bars(probabilities: dict[str, float]) -> list[tuple[str, str]]:
    rows = sorted(probabilities.items(), key=lambda entry: -entry[1])
    return [(name, percent(value)) for name, value in rows]


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def test_faces(tab: Tab, server: httpx.Client, face: bytes) -> None:
    result = ask(server, "v1/face-emotion", image=face, faces="all").json()["result"]
    (entry,) = result["faces"]
    assert len(entry["members"]) == 2
    tab.open("faces")
    tab.page.locator("#faces input[type=file]").set_input_files(file("face.png", face))
    section = tab.page.locator("#faces")
    words = f"Face 1: {entry['label']}, {percent(entry['confidence'])}"
    expect(section.locator(".faces summary strong")).to_have_text(words)
    groups = section.locator(".faces .bars").all()
    assert [shown_bars(group) for group in groups] == [
        expected_bars(answer["probabilities"]) for answer in (entry, *entry["members"])
    ]
    place = section.locator(".stage .box").evaluate(
        "box => ['left', 'top', 'width', 'height'].map(name => parseFloat(box.style[name]))"
    )
    box = entry["box"]
    left, top, right, bottom = (box[name] for name in ("x1", "y1", "x2", "y2"))
    shares = (left / 640, top / 480, (right - left) / 640, (bottom - top) / 480)
    assert place == pytest.approx([100 * share for share in shares], abs=0.01)
    names = section.locator(".provenance .id").all_inner_texts()
    assert names == [model["model"] for model in result["models"]]
    assert "pretrained" in section.locator(".provenance").inner_text()
    assert re.search(r"in all · queue .* · run .* ms", section.locator(ANSWERED).inner_text())


def test_voice_of_a_sample(tab: Tab, server: httpx.Client) -> None:
    result = ask(server, "v1/voice-emotion", audio=sample("voice.mp3")).json()["result"]
    tab.open("voice")
    section = tab.page.locator("#voice")
    expect(section.locator(".loud")).to_be_visible()  # before any request: its weights are seeded
    section.get_by_role("button", name="Sample").click()
    expect(section.locator(".headline")).to_contain_text(f"{result['label']}, ")
    assert shown_bars(section.locator(".result .bars")) == expected_bars(result["probabilities"])
    rows = section.locator("tbody tr").all_inner_texts()
    assert [row.split("\t")[1:] for row in rows] == [
        [window["label"], percent(window["confidence"])] for window in result["windows"]
    ]
    assert section.locator(".window").count() == len(result["windows"]) > 2
    assert section.locator(".waveform path").get_attribute("d")
    expect(section.locator(".warnings")).to_contain_text("untrained")


def test_voice_of_the_microphone_becomes_wav(tab: Tab) -> None:
    tab.open("voice")
    section = tab.page.locator("#voice")
    section.get_by_role("button", name="Record", exact=True).click()
    section.get_by_text("Recording.", exact=True).wait_for()
    tab.page.wait_for_timeout(700)
    section.get_by_role("button", name="Stop recording").click()
    section.locator(ANSWERED).wait_for()
    assert "audio=@recording.wav" in (section.locator("code").first.text_content() or "")
    assert section.locator("tbody tr").count() == 1


def test_gait(tab: Tab, server: httpx.Client) -> None:
    clip = sample("walk.webm")
    tab.open("gait")
    section = tab.page.locator("#gait")
    section.get_by_role("button", name="Sample").click()
    result = ask(server, "v1/gait", video=clip).json()["result"]
    words = f"{result['label']}, {percent(result['confidence'])}"
    expect(section.locator(".headline")).to_have_text(words)
    frames = section.locator(".strip canvas")
    expect(frames).to_have_count(len(result["frames"]["indices"]))
    names = section.locator(".strip canvas").evaluate_all(
        "all => all.map(canvas => canvas.getAttribute('aria-label'))"
    )
    assert names == [f"Frame {index}" for index in result["frames"]["indices"]]
    pictures = frames.evaluate_all("all => all.map(canvas => canvas.toDataURL())")
    assert len(set(pictures)) == len(pictures)  # no frame is shown twice
    section.get_by_label("Condition").fill("stroke")
    section.get_by_label("Condition").press("Tab")
    section.get_by_text("Condition: Ischaemic stroke.").wait_for()
    other = ask(server, "v1/gait", video=clip, condition="stroke").json()["result"]
    assert other["probabilities"] != result["probabilities"]
    assert shown_bars(section.locator(".result .bars")) == expected_bars(other["probabilities"])


def test_similarity(tab: Tab, server: httpx.Client) -> None:
    images = {"image_a": sample("scene-a.jpg"), "image_b": sample("scene-b.jpg")}
    cosine = ask(server, "v1/similarity", **images).json()["result"]["cosine"]
    tab.open("similarity")
    section = tab.page.locator("#similarity")
    for button in section.get_by_role("button", name="Sample").all():
        button.click()
    expect(section.locator(".headline")).to_have_text(f"cosine {cosine:.3f}")
    assert section.locator(".stage img").count() == 2
    timing = section.locator(ANSWERED)
    expect(timing).to_have_text(re.compile("from the cache of the server, [0-9]+ s old"))
    expect(section.locator(".result .note").first).to_contain_text("no similarity scale")


def test_cut_out(tab: Tab, server: httpx.Client, tmp_path: Path) -> None:
    people, sky = sample("people.jpg"), sample("backdrop.jpg")
    tab.open("cutout")
    section = tab.page.locator("#cutout")
    section.get_by_role("button", name="Sample: two people").click()

    def download() -> bytes:
        with tab.page.expect_download() as event:
            section.get_by_text("Download the cut-out").click()
        assert event.value.suggested_filename == "cut-out.png"
        return Path(event.value.path()).read_bytes()

    def answered(action: Locator) -> bytes:
        with tab.page.expect_response("**/v1/background"):
            action.click()
        expect(section).not_to_have_attribute("aria-busy", "true")
        return download()

    section.locator(ANSWERED).wait_for()
    assert download() == ask(server, "v1/background", image=people).content
    on_colour = ask(server, "v1/background", image=people, color="#3366ff").content
    assert answered(section.get_by_label("A colour")) == on_colour
    section.get_by_label("Another picture").click()
    on_sky = ask(server, "v1/background", image=people, background=sky).content
    assert answered(section.get_by_role("button", name="Sample: a sky")) == on_sky
    assert section.locator("img.chequered").evaluate("image => image.naturalWidth") == 640
    expect(section.locator(".provenance .id")).to_have_text("background_u2netp")


def test_text(tab: Tab, server: httpx.Client) -> None:
    tab.open("text")
    section = tab.page.locator("#text")
    section.get_by_label("The first text").fill("zzz zzz")
    section.get_by_label("Texts to compare").fill("e e e e e e\n\nzzz")
    section.get_by_role("button", name="Compare").click()
    section.locator(ANSWERED).wait_for()
    first, *others = (
        np.array(
            ask(server, "v1/models/clinical_text_minilm", text=words).json()["result"]["embedding"]
        )
        for words in ("zzz zzz", "e e e e e e", "zzz")
    )
    cosines = [float(first @ other) for other in others]
    assert cosines[0] != pytest.approx(cosines[1], abs=1e-3)
    names = ("e e e e e e", "zzz")
    expected = sorted(zip(names, cosines, strict=True), key=lambda row: -row[1])
    assert shown_bars(section.locator(".result .bars")) == [
        (name, f"{cosine:.3f}") for name, cosine in expected
    ]


@pytest.mark.parametrize("panel", ["faces", "cutout"])
def test_live_camera(tab: Tab, panel: str) -> None:
    tab.open(panel)
    section = tab.page.locator(f"#{panel}")
    section.get_by_role("button", name="Use the camera").click()
    section.get_by_role("button", name="Start live").click()
    numbers = section.locator(".camera .timing")
    expect(numbers).to_have_text(re.compile(r"answers a second · .* in all · .*queue .* run .* ms"))
    if panel == "faces":
        expect(section.locator(".camera .box")).to_have_count(1)
        place = section.locator(".camera .box").evaluate("box => parseFloat(box.style.left)")
        assert place == pytest.approx(25, abs=1)  # percent
    else:
        width = section.locator(".camera .over img").evaluate("image => image.naturalWidth")
        assert width == 640
    section.get_by_role("button", name="Stop live").click()
    expect(section.locator(".camera .over > *")).to_have_count(0)
    count = len(tab.requests)
    section.get_by_role("button", name="Close the camera").click()
    expect(section.get_by_role("button", name="Use the camera")).to_be_focused()
    assert len(tab.requests) == count


def test_picture_of_the_camera(tab: Tab) -> None:
    tab.open("faces")
    section = tab.page.locator("#faces")
    section.get_by_role("button", name="Use the camera").click()
    section.get_by_role("button", name="Take the picture").click()
    expect(section.locator(".faces summary strong")).to_contain_text("Face 1: ")
    expect(section.locator(".camera video")).not_to_be_visible()
    assert "image=@camera.jpg" in (section.locator("code").first.text_content() or "")


@pytest.mark.skipif(not REAL, reason="real models are needed: SLIPWAY_ARTIFACTS")
def test_samples_with_real_models(context: BrowserContext, serve: Serve) -> None:
    client = serve(Settings(artifacts=Path(REAL), allow_seeded=True))
    facts = client.get("/page/facts").json()
    tab = watched(context, f"{client.base_url}/")
    for panel, models in facts["panels"].items():
        if not models["served"]:
            continue
        tab.open(panel)
        section = tab.page.locator(f"#{panel}")
        for button in section.locator(".sample:visible").all():
            button.click()
        section.locator(f".result {ANSWERED}").wait_for()
        expect(section.locator(".provenance .badge").first).to_be_visible()
    assert not tab.complaints
