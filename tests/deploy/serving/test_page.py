"""The page to try a model by hand, in a real browser: what a person does, and what they see."""

import base64
from itertools import pairwise

import pytest
from playwright.sync_api import expect

from tests.browsers import FLAGS, chromium
from tests.deploy.serving.stub import served


@pytest.fixture(scope="module")
def browser():
    program = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=program, args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture
def open_page(browser):
    """Open a server's page; what it complained of is looked at in the end."""
    said, pages = [], []

    def opened(server, **options):
        page = browser.new_context(viewport={"width": 900, "height": 900}, **options).new_page()
        page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"http://127.0.0.1:{server.port}/")
        pages.append(page)
        return page, said

    yield opened
    for page in pages:
        page.context.close()


def test_page_shows_the_answer_and_attention_of_a_text(server, open_page):
    page, said = open_page(server)
    expect(page.locator("#name")).to_have_text("stub")
    assert page.text_content("#about") == "Version 1 (champion): stub, macro F1 0.500."
    assert page.input_value("#text") == "a", "a question of its own, recorded when it was registered"
    assert page.is_hidden("#key-label")
    assert page.is_hidden("#answer")
    page.click("#example")
    assert page.input_value("#text") == "text"
    page.fill("#text", "<b>seven</b>")
    page.click("#ask")
    page.wait_for_selector("#map td")
    assert page.text_content("#prediction") == "v1"
    assert page.text_content("#details") == "probability0.512"
    assert page.text_content("#by").startswith("Version 1, ")
    page.hover("#map tbody tr:nth-child(2) td:nth-child(3)")
    assert page.text_content("#cell") == "“b” looks at “b” with 0.800"
    page.evaluate("document.getElementById('more').open = true")
    page.fill("#options", '{"loud": true}')
    page.click("#ask")
    expect(page.locator("#prediction")).to_have_text("V1")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert said == []


def test_page_shows_errors_in_the_options(server, open_page):
    page, _ = open_page(server)
    page.evaluate("document.getElementById('more').open = true")
    for options, told in (("{", "Options are not JSON."), ('{"quiet": 1}', "options of stub: quiet")):
        page.fill("#options", options)
        page.click("#ask")
        expect(page.locator("#problem")).to_have_text(told)
        expect(page.locator("#problem")).to_be_visible()


_WATCH = """
    const place = document.getElementById("prediction");
    globalThis.pieces = [];
    new MutationObserver(() => pieces.push(place.textContent)).observe(place, {childList: true, characterData: true, subtree: true});
"""


def test_page_streams_generated_text(shelf, tmp_path, open_page):
    shelf.add(1, task="causal_lm", seconds=0.05)
    with served(shelf, tmp_path) as server:
        page, said = open_page(server)
        expect(page.locator("#name")).to_have_text("stub")
        page.fill("#text", "to be or not to be")
        page.evaluate(_WATCH)
        page.click("#ask")
        expect(page.locator("#prediction")).to_have_text("to be or not to be ")
        pieces = page.evaluate("pieces")  # a busy browser may draw several at once
        assert len(pieces) > 1, "piece by piece"
        assert all(later.startswith(earlier) for earlier, later in pairwise(pieces))
        assert said == []


def test_page_classifies_a_chosen_image(shelf, tmp_path, open_page):
    shelf.add(1, task="image_classification")
    file = tmp_path / "one.png"
    file.write_bytes(
        base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==")
    )
    with served(shelf, tmp_path) as server:
        page, said = open_page(server)
        page.wait_for_selector("#image:visible")
        page.click("#ask")
        expect(page.locator("#problem")).to_have_text("Choose an image.")
        page.set_input_files("#image", file)
        page.click("#ask")
        expect(page.locator("#prediction")).to_have_text("v1")
        assert said == []


def test_page_prompts_for_the_api_key(shelf, tmp_path, open_page):
    with served(shelf, tmp_path, key="a-key-of-enough-characters") as server:
        page, _ = open_page(server)
        expect(page.locator("#problem")).to_have_text("give the key: Authorization: Bearer KEY")
        page.fill("#key", "a-key-of-enough-characters")
        page.click("#ask")
        expect(page.locator("#prediction")).to_have_text("v1")
        assert page.is_hidden("#problem")


def test_api_docs_load_nothing_external_and_can_send_their_examples(server, open_page):
    page, said = open_page(server)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.click("text=The interface")
    page.wait_for_selector(".operation")
    served = page.locator(".operation", has_text="POST /v1/classify")
    expect(served.locator("textarea")).to_have_value('{\n  "inputs": [\n    "a"\n  ]\n}')
    assert (
        served.locator(".fields td").first.text_content() == "inputs"
        or "inputs" in served.locator(".fields").first.text_content()
    )
    served.locator("button").click()
    expect(served.locator("pre")).to_contain_text('"prediction": "v1"')
    assert page.locator(".operation").count() > 10
    assert all(url.startswith(f"http://127.0.0.1:{server.port}/") for url in asked)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert said == []


def test_api_docs_prompt_for_the_api_key(shelf, tmp_path, open_page):
    with served(shelf, tmp_path, key="a-key-of-enough-characters") as server:
        page, _ = open_page(server)
        page.goto(f"http://127.0.0.1:{server.port}/docs")
        expect(page.locator("#problem")).to_have_text("give the key: Authorization: Bearer KEY")
        page.fill("#key", "a-key-of-enough-characters")
        page.keyboard.press("Tab")
        page.wait_for_selector(".operation")
