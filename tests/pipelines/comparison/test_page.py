"""The page of a comparison, in a browser without a network."""

import json

import pytest

from pipelines.__main__ import main
from tests.browsers import FLAGS, chromium


@pytest.fixture(scope="module")
def page_file(home, tmp_path_factory):
    file = tmp_path_factory.mktemp("page") / "compare.html"
    assert main(["compare", "0abc", "1abd", "--html", str(file)]) == 0
    return file


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium(), args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, page_file):
    """The open page; whatever it complains about or asks the network for fails the test."""
    page = browser.new_context(viewport={"width": 1200, "height": 800}, offline=True).new_page()
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"file://{page_file}")
    yield page
    assert said == []
    assert [url for url in asked if not url.startswith(("file://", "data:"))] == []


LOSS = "svg[data-metric='training.loss']"
BAND = f"{LOSS} .band[data-runs='0']"  # of the newest run, whose loss was 9 at update 57
ALL = "element => [element.dataset.low, element.dataset.high].map(Number)"


def test_page_holds_the_readings_of_mlflow(page, home):
    data = json.loads(page.locator("#data").text_content())
    assert [run["name"].split()[-1] for run in data["runs"]] == ["1abd0000", "0abc0000"]
    newest = data["trainings"][0]["curves"]["training.loss"]
    (child,) = home.client.search_runs(
        ["0"], "tags.`glassformer.run` LIKE '1abd%' AND tags.`glassformer.node` = 'pretrain'"
    )
    readings = home.client.get_metric_history(child.info.run_id, "training.loss")
    assert newest["y"] == [one.value for one in readings]


def test_band_shows_spike_raw_smoothed_and_zoomed(page):
    assert page.locator(BAND).evaluate(ALL) == [2.0, 9.0]
    page.locator("input[name=smoothing]").fill("0.95")
    assert page.locator("#smoothing").text_content() == "0.95"
    assert page.locator(BAND).evaluate(ALL) == [2.0, 9.0]
    page.locator(LOSS).hover(position={"x": 180, "y": 60})
    for _ in range(2):
        page.locator(LOSS).press("+")
    low, high = page.locator(BAND).evaluate(ALL)
    assert (low > 2.0, high) == (True, 9.0)
    page.locator(LOSS).press("Escape")
    assert page.locator(BAND).evaluate(ALL) == [2.0, 9.0]


def test_spike_is_drawn_at_the_top_of_the_chart(page):
    box = page.locator(BAND).evaluate("element => element.getBBox().y")
    assert box < 30, "9 is the largest value: drawn below 12 units of margin and 5 % of room"


@pytest.mark.parametrize(("axis", "last"), [("updates", "200"), ("tokens", "20,000"), ("seconds", "400")])
def test_axis_is_chosen(page, axis, last):
    page.locator(f"input[value={axis}]").check()
    ticks = page.locator(f"{LOSS} .tick[text-anchor=middle]").all_text_contents()
    assert ticks[-1] == last


def test_reading_under_the_pointer_is_named(page):
    page.locator(LOSS).focus()
    page.locator(LOSS).press("ArrowRight")
    assert "tiny 2023-11-1" in page.locator(f"{LOSS} + output").text_content()
    assert "2.5225 at 100" in page.locator(f"{LOSS} + output").text_content()


def test_hidden_run_is_not_drawn(page):
    page.locator("input[name=run][value='0']").uncheck()
    assert page.locator(BAND).count() == 0
    assert page.locator(f"{LOSS} .band[data-runs='1']").evaluate(ALL) == [2.0, 2.99]


def test_logarithmic_axis_keeps_the_extremes(page):
    page.locator("input[name=log]").check()
    assert page.locator(BAND).evaluate(ALL) == [2.0, 9.0]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_fits_a_narrow_window(browser, page_file, scheme):
    page = browser.new_context(viewport={"width": 390, "height": 800}, color_scheme=scheme, offline=True).new_page()
    page.goto(f"file://{page_file}")
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    assert page.evaluate("[...document.querySelectorAll('h1,h2,h3')].map(e => +e.tagName[1])")[1:] == [2] * 7
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(13, 17, 23)" if scheme == "dark" else "rgb(255, 255, 255)")


def test_page_shows_scores_and_parameters(page):
    text = " ".join(page.locator("main").text_content().split())
    assert "macro F1: this model" in text
    assert "0.5000 [0.4500, 0.5500]" in text
    assert page.locator("section[aria-labelledby=parameters-that-differ] td").all_text_contents() == ["2", "1"]


def test_runs_without_a_training_are_refused(home, capsys, tmp_path):
    for number in "89":
        tags = {"glassformer.pipeline": f"data{number}", "glassformer.run": number * 32}
        home.client.create_run("0", start_time=1, tags=tags)
    assert main(["compare", "8888", "9999", "--html", str(tmp_path / "page.html")]) == 2
    assert capsys.readouterr().err.startswith("--html: no training in data8 1970-01-01")
    assert not (tmp_path / "page.html").exists()
