"""The API document in the viewer of /docs."""

import httpx
from playwright.sync_api import BrowserContext, expect

from tests.serve.page.conftest import watched

LOGO = "https://cdn.redoc.ly/redoc/logo-mini.svg"  # of the viewer, which the policy blocks


def test_the_viewer_shows_the_document_without_another_origin(
    context: BrowserContext, server: httpx.Client
) -> None:
    tab = watched(context, str(server.base_url))
    answers: list[str] = []
    tab.page.on("response", lambda response: answers.append(response.url))
    tab.page.goto(f"{tab.url}docs")
    expect(tab.page.locator("h1").first).to_contain_text("Slipway")
    for name in ("Tasks", "Jobs", "Open Inference Protocol"):
        expect(tab.page.get_by_role("menuitem", name=name).first).to_be_visible()
    path = tab.page.get_by_text("/emotion/v1/face-emotion").first
    expect(path).to_be_attached()
    assert [url for url in answers if not url.startswith((tab.url, "blob:"))] == []
    assert [text for text in tab.complaints if LOGO not in text] == []
