"""Chromium of the system, a server with a tiny model of every task, and pages of the browser."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field

import cv2
import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from serve.settings import Settings
from tests.serve.support.server import running
from tests.support.artifacts import (
    EMBEDDING,
    EMOTIONS,
    FACES,
    GAIT,
    OTHER_EMOTIONS,
    SEGMENTATION,
    TEXT,
    VOICE,
    write_artifact,
)
from tests.support.images import png

WAIT_MS = 60_000  # for an answer; the machine may be busy
PERMISSIONS = ("camera", "microphone", "clipboard-read", "clipboard-write")


@dataclass(frozen=True, slots=True)
class Tab:
    """A page of the browser, and what it said and asked for."""

    page: Page
    url: str  # of the page of the server
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)  # of the console, and errors of scripts

    def open(self, panel: str) -> None:
        """Load the page with one panel."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}#{panel}")
        self.page.locator(f"section#{panel}").wait_for()


@pytest.fixture(scope="package")
def face() -> bytes:
    """Return a PNG in which the tiny detector finds one face: a red cell of 160 px."""
    image = np.full((480, 640, 3), 90, np.uint8)
    image[120:240, 160:320] = (255, 0, 0)
    return png(image)


@pytest.fixture(scope="package")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Start Chromium, whose camera shows a red cell and whose microphone beeps."""
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("no chromium here: apt-get install chromium")
    image = np.full((480, 640, 3), 90, np.uint8)
    image[120:240, 160:320] = (255, 0, 0)
    film = tmp_path_factory.mktemp("camera") / "camera.mjpeg"
    film.write_bytes(cv2.imencode(".jpg", image[..., ::-1])[1].tobytes() * 2)
    arguments = [
        "--no-sandbox",  # CI runs as root
        "--disable-dev-shm-usage",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={film}",
        "--host-resolver-rules=MAP page.test 127.0.0.1",  # an address that is not secure
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Serve a tiny model of every task under a base path; that of voices is seeded."""
    root = tmp_path_factory.mktemp("artifacts")
    for graph in (EMOTIONS, OTHER_EMOTIONS, FACES, EMBEDDING, SEGMENTATION, GAIT, TEXT):
        write_artifact(root, graph)
    write_artifact(root, VOICE, origin="seeded")
    settings = Settings(artifacts=root, allow_seeded=True, base_path="/emotion")
    with running(settings) as client:
        client.base_url = client.base_url.join("emotion/")
        yield client


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    context = browser.new_context(
        viewport={"width": 1100, "height": 800}, permissions=list(PERMISSIONS)
    )
    context.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    yield context
    context.close()


@pytest.fixture
def tab(context: BrowserContext, server: httpx.Client) -> Iterator[Tab]:
    """Return a page; afterwards it has asked no other origin and complained of nothing."""
    tab = watched(context, str(server.base_url))
    yield tab
    origin = tab.url.removesuffix("emotion/")
    foreign = [url for url in tab.requests if not url.startswith((origin, "blob:", "about:"))]
    assert tab.requests
    assert not foreign
    assert not tab.complaints


def watched(context: BrowserContext, url: str) -> Tab:
    """Return a new page that notes its requests and complaints."""
    tab = Tab(context.new_page(), url)
    tab.page.on("request", lambda request: tab.requests.append(request.url))
    tab.page.on("pageerror", lambda error: tab.complaints.append(str(error)))
    tab.page.on(
        "console",
        lambda message: (
            tab.complaints.append(message.text) if message.type in ("error", "warning") else None
        ),
    )
    return tab
