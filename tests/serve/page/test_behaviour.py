"""Errors, waits, keys, new inputs and drops around an answer, and the lines to copy."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import BrowserContext, FilePayload, Locator, Route, expect

from serve.page.files import STATIC
from serve.settings import Settings
from tests.serve.conftest import Serve
from tests.serve.page.conftest import Tab, watched
from tests.support.artifacts import EMBEDDING, write_artifact

SAMPLES = STATIC / "samples"
ANSWERED = ".timing:not(:empty)"
TRANSFER = """([event, name, type, base64]) => {
  const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], name, { type }));
  const options = { bubbles: true, cancelable: true };
  if (event === 'paste') {
    document.dispatchEvent(new ClipboardEvent('paste', { ...options, clipboardData: data }));
  } else {
    document.querySelector('section:not([hidden]) .picker')
      .dispatchEvent(new DragEvent('drop', { ...options, dataTransfer: data }));
  }
}"""
RED_GIF = "R0lGODlhAQABAIAAAP8AAP///yH5BAAAAAAALAAAAAABAAEAAAICRAEAOw=="  # 1 x 1 px


def broken(name: str = "broken.jpg") -> FilePayload:
    return {"name": name, "mimeType": "image/jpeg", "buffer": b"no picture"}


def choose(section: Locator, payload: FilePayload) -> None:
    section.locator("input[type=file]").first.set_input_files(payload)


def test_an_error_is_shown_as_the_server_says_it(tab: Tab, server: httpx.Client) -> None:
    answer = server.post("v1/face-emotion", files={"image": ("broken.jpg", b"no picture")})
    assert answer.status_code == 400
    tab.open("faces")
    section = tab.page.locator("#faces")
    choose(section, broken())
    expect(section.locator(".state")).to_have_text(f"400: {answer.json()['error']}")
    assert section.locator(".provenance").count() == 0
    assert "-F image=@broken.jpg" in (section.locator("code").first.text_content() or "")
    tab.complaints.clear()  # Chromium logs the 400


def test_markup_of_others_stays_text(tab: Tab) -> None:
    tab.page.route(
        "**/v1/face-emotion",
        lambda route: route.fulfill(
            status=400,
            json={"error": "<img src=x onerror=alert(1)>"},
            content_type="application/json",
        ),
    )
    tab.open("faces")
    choose(tab.page.locator("#faces"), broken("<b>'\"; x.png"))
    expect(tab.page.locator("#faces .state")).to_have_text("400: <img src=x onerror=alert(1)>")
    assert tab.page.locator("#faces .state img, #faces b").count() == 0
    line = tab.page.locator("#faces code").first.text_content() or ""
    assert """-F 'image=@"<b>'\\''\\"; x.png"'""" in line
    tab.complaints.clear()


def test_a_file_that_is_too_large_is_not_sent(tab: Tab, tmp_path: Path) -> None:
    size = Settings().max_upload_bytes + 1
    with (tmp_path / "large.jpg").open("wb") as file:
        file.truncate(size)
    tab.open("faces")
    tab.page.locator("#faces input[type=file]").set_input_files(tmp_path / "large.jpg")
    expect(tab.page.locator("#faces .state")).to_contain_text(f"{size} bytes are too many")
    assert not any(url.endswith("face-emotion") for url in tab.requests)


@pytest.mark.parametrize("status", [429, 503])
def test_busy_is_tried_again_after_retry_after(tab: Tab, status: int) -> None:
    answers = []

    def first_busy(route: Route) -> None:
        answers.append(route)
        if len(answers) > 1:
            route.continue_()
            return
        headers = {"Retry-After": "1"}
        route.fulfill(status=status, headers=headers, json={"error": "the queue is full"})

    tab.page.route("**/v1/face-emotion", first_busy)
    tab.open("faces")
    tab.page.locator("#faces .sample").click()
    words = f"{status}: the queue is full. Again in 1 second, try 2 of 5."
    expect(tab.page.locator("#faces .state")).to_have_text(words)
    tab.page.locator(f"#faces .result {ANSWERED}").wait_for()
    assert len(answers) == 2
    tab.complaints.clear()


def test_a_new_input_aborts_the_request_before(tab: Tab) -> None:
    waiting: list[Route] = []

    def hold_first(route: Route) -> None:
        if waiting:
            route.continue_()
        else:
            waiting.append(route)

    tab.page.route("**/v1/face-emotion", hold_first)
    failures: list[str | None] = []
    tab.page.on("requestfailed", lambda request: failures.append(request.failure))
    tab.open("faces")
    tab.page.locator("#faces .sample").click()
    tab.page.locator("#faces[aria-busy=true]").wait_for()
    while not waiting:
        tab.page.wait_for_timeout(10)
    tab.page.locator("#faces .sample").click()
    tab.page.locator(f"#faces .result {ANSWERED}").wait_for()
    assert failures == ["net::ERR_ABORTED"]
    expect(tab.page.locator("#faces")).not_to_have_attribute("aria-busy", "true")


def test_a_key_is_asked_for_and_sent(tab: Tab) -> None:
    sent = []

    def with_key(route: Route) -> None:
        key = route.request.headers.get("authorization")
        sent.append(key)
        if key == "Bearer secret":
            route.continue_()
        else:
            route.fulfill(status=401, json={"error": "a key is needed"})

    tab.page.route("**/v1/face-emotion", with_key)
    tab.open("faces")
    tab.page.locator("#faces .sample").click()
    expect(tab.page.locator("#faces .state")).to_have_text("401: a key is needed")
    field = tab.page.get_by_label("API key")
    expect(field).to_be_focused()
    field.fill("secret")
    field.press("Enter")
    tab.page.locator(f"#faces .result {ANSWERED}").wait_for()
    assert sent == [None, "Bearer secret"]
    code = "".join(tab.page.locator("#faces code").all_text_contents())
    assert '-H "Authorization: Bearer $SLIPWAY_KEY"' in code
    assert 'os.environ["SLIPWAY_KEY"]' in code
    assert "secret" not in code
    tab.complaints.clear()


def test_a_server_that_tells_nothing_without_a_key(tab: Tab) -> None:
    def with_key(route: Route) -> None:
        if "authorization" in route.request.headers:
            route.continue_()
        else:
            route.fulfill(status=401, json={"error": "a key is needed"})

    tab.page.route("**/page/facts", with_key)
    tab.page.goto(tab.url)
    tab.page.get_by_label("API key").fill("secret")
    tab.page.get_by_role("button", name="Use this key").click()
    expect(tab.page.locator("#faces h2")).to_be_visible()
    tab.complaints.clear()


def test_weights_have_their_name_of_either_release(tab: Tab) -> None:
    def renamed(route: Route) -> None:
        response = route.fetch()
        text = response.text().replace('"weights":', '"weights_origin":')
        route.fulfill(response=response, body=text)

    for path in ("**/page/facts", "**/v1/voice-emotion"):
        tab.page.route(path, renamed)
    tab.open("voice")
    section = tab.page.locator("#voice")
    expect(section.locator(".loud")).to_be_visible()
    section.get_by_role("button", name="Sample").click()
    expect(section.locator(".provenance .badge")).to_have_text("seeded")


@pytest.mark.parametrize("event", ["paste", "drop"])
def test_a_picture_is_pasted_or_dropped(tab: Tab, event: str) -> None:
    tab.open("faces")
    tab.page.evaluate(TRANSFER, [event, "red.gif", "image/gif", RED_GIF])
    expect(tab.page.locator("#faces .faces summary").first).to_be_visible()
    expect(tab.page.locator("#faces .picker .note").first).to_contain_text("red.gif")


def test_pasted_pictures_fill_both_sides_of_a_comparison(tab: Tab) -> None:
    tab.open("similarity")
    for _ in range(2):
        tab.page.evaluate(TRANSFER, ["paste", "red.gif", "image/gif", RED_GIF])
    expect(tab.page.locator("#similarity .headline")).to_have_text("cosine 1.000")


@pytest.mark.parametrize("panel", ["faces", "voice", "gait", "similarity", "cutout", "text"])
def test_curl_and_python_do_what_the_page_does(
    tab: Tab, server: httpx.Client, tmp_path: Path, panel: str
) -> None:
    tab.open(panel)
    section = tab.page.locator(f"#{panel}")
    if panel == "gait":
        section.get_by_label("Condition").fill("stroke")
    with tab.page.expect_response(lambda response: response.request.method == "POST") as event:
        for button in section.locator(".sample:visible").all():
            button.click()
    section.locator(ANSWERED).wait_for()
    # Chromium keeps no body that the page read as a blob
    picture = {"image": (SAMPLES / "people.jpg").read_bytes()}
    is_image = panel == "cutout"
    answer = server.post("v1/background", files=picture).content if is_image else event.value.body()
    curl, python = section.locator("code").all_text_contents()
    for path in SAMPLES.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "lines.py").write_text(python, "utf-8")
    output = tmp_path / "cut-out.png"
    for command in (["bash", "-c", f"{curl} --silent"], [sys.executable, "lines.py"]):
        printed = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout
        if is_image:
            assert output.read_bytes() == answer
            output.unlink()
        elif command[0] == "bash":
            assert printed == answer
        else:
            assert printed.decode() == f"{json.loads(answer)}\n"


def test_without_https_the_page_says_what_cannot_be_used(
    context: BrowserContext, server: httpx.Client
) -> None:
    tab = watched(context, f"http://page.test:{server.base_url.port}/emotion/")
    for panel in ("faces", "voice"):
        tab.open(panel)
        note = "Camera and microphone need HTTPS, or localhost."
        tab.page.locator(f"#{panel} .picker").get_by_text(note).wait_for()
    tab.page.locator("#voice").get_by_role("button", name="Sample").click()
    tab.page.locator(f"#voice .result {ANSWERED}").wait_for()
    assert not tab.complaints


def test_panels_without_a_model_say_so(
    context: BrowserContext, serve: Serve, tmp_path: Path
) -> None:
    write_artifact(tmp_path, EMBEDDING)
    client = serve(Settings(artifacts=tmp_path))
    tab = watched(context, str(client.base_url) + "/")
    for panel, served in (("similarity", True), ("voice", False), ("text", False)):
        tab.open(panel)
        section = tab.page.locator(f"#{panel}")
        message = section.get_by_text("No model of this task is served here. It needs:")
        assert message.is_visible() is not served
        assert (section.locator("button").count() > 0) is served
    tab.open("cutout")  # GrabCut answers
    tab.page.locator("#cutout").get_by_role("button", name="Sample: two people").click()
    expect(tab.page.locator("#cutout .provenance .id")).to_have_text("grabcut")
    expect(tab.page.locator("#cutout .warnings")).to_be_visible()
    assert not tab.complaints
