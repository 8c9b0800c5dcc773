"""The page for everyone: axe-core, the keyboard alone, 360 px, dark mode."""

from importlib.resources import files

import pytest
from playwright.sync_api import BrowserContext, Page, ViewportSize, expect

from tests.serve.page.conftest import Tab

PANELS = ("faces", "voice", "gait", "similarity", "cutout", "text")
ANSWERED = ".timing:not(:empty)"
RULES = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']"
OF_LOOKS = "['color-contrast', 'target-size', 'scrollable-region-focusable']"
PHONE: ViewportSize = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def axe() -> str:
    """Return the script of axe-core."""
    return (files("axe_playwright_python") / "axe.min.js").read_text("utf-8")


def violations(page: Page, rules: str = RULES) -> list[str]:
    found = page.evaluate(f"axe.run(document, {{runOnly: {rules}}})")["violations"]
    return [
        f"{rule['id']}: {node['html'][:120]} {node['failureSummary']}"
        for rule in found
        for node in rule["nodes"]
    ]


@pytest.mark.parametrize("panel", PANELS)
def test_axe_finds_nothing_and_a_phone_is_wide_enough(
    tab: Tab, context: BrowserContext, axe: str, panel: str
) -> None:
    page = tab.page
    tab.open(panel)
    page.evaluate(axe)
    section = page.locator(f"#{panel}")
    for button in section.locator(".sample:visible").all():
        button.click()
    section.locator(ANSWERED).first.wait_for()
    page.evaluate("document.querySelectorAll('details').forEach(node => { node.open = true })")
    assert not violations(page)
    page.emulate_media(color_scheme="dark")
    page.set_viewport_size(PHONE)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == "rgb(13, 17, 23)"
    assert not violations(page, OF_LOOKS)
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    cut = page.evaluate(
        "[...document.querySelectorAll('main *')].filter(node => !node.closest('.sr, .over')"
        " && node.getBoundingClientRect().right > innerWidth).map(node => node.outerHTML)"
    )
    assert not cut


def test_axe_finds_nothing_in_errors_and_the_field_for_a_key(tab: Tab, axe: str) -> None:
    tab.page.route("**/v1/face-emotion", lambda route: route.fulfill(status=401, body="no key"))
    tab.open("faces")
    tab.page.evaluate(axe)
    assert not violations(tab.page)  # before any answer
    tab.page.locator("#faces .sample").click()
    tab.page.get_by_label("API key").wait_for()
    assert not violations(tab.page)
    tab.page.emulate_media(color_scheme="dark")
    assert not violations(tab.page, OF_LOOKS)
    tab.complaints.clear()  # Chromium logs the 401


def focused(page: Page) -> str:
    return str(page.evaluate("document.activeElement.textContent.trim()"))


def press_until(page: Page, name: str, *, key: str = "Tab") -> None:
    """Press a key until the element with this text has the focus, which must be visible."""
    for _ in range(40):
        page.keyboard.press(key)
        if focused(page) == name:
            outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
            assert outline != "none"
            return
    pytest.fail(f"{key} does not reach {name!r}")


def test_the_keyboard_alone(tab: Tab) -> None:
    page = tab.page
    tab.open("faces")
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the panel"
    press_until(page, "Text")
    page.keyboard.press("Enter")
    expect(page.locator("#text h2")).to_be_focused()
    expect(page.locator("nav [aria-current=page]")).to_have_text("Text")
    page.keyboard.press("Tab")
    page.keyboard.type("zzz zzz")
    page.keyboard.press("Tab")
    page.keyboard.type("zzz")
    press_until(page, "Compare")
    page.keyboard.press("Enter")
    page.locator(f"#text {ANSWERED}").wait_for()
    expect(page.locator("#text .state")).to_have_text("Answer: Nearest: zzz")
    press_until(page, "The same with curl or Python")
    page.keyboard.press("Enter")
    press_until(page, "Copy curl")
    page.keyboard.press("Enter")
    page.get_by_text("Copied.", exact=True).wait_for()
    assert "curl --form-string" in page.evaluate("navigator.clipboard.readText()")
    press_until(page, "Cut-out", key="Shift+Tab")
    page.keyboard.press("Enter")
    press_until(page, "Sample: two people, drawn")
    page.keyboard.press("Enter")
    page.locator(f"#cutout {ANSWERED}").wait_for()
    press_until(page, "Download the cut-out")
    with page.expect_download():
        page.keyboard.press("Enter")


def test_the_file_input_has_the_focus_ring_of_its_label(tab: Tab) -> None:
    tab.open("voice")
    tab.page.keyboard.press("Tab")
    for _ in range(12):
        if tab.page.evaluate("document.activeElement.type") == "file":
            break
        tab.page.keyboard.press("Tab")
    ring = "getComputedStyle(document.activeElement.nextElementSibling).outlineStyle"
    assert tab.page.evaluate(ring) == "solid"
