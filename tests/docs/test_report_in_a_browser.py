"""The report in headless Chromium: looked at, searched, filtered, sorted, clicked, walked through by keyboard."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.browser import PHONE, WIDTH, Browser, accessibility, expect, is_wider_than_its_window
from support.report_pages import HOSTILE, job
from support.store_records import WHEN, answer, attempt, failure, vector

from pipeline import Job
from pipeline.run.compare import picks, write_compared
from pipeline.run.report_server import Live, ReportServer

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
JOBS = ("captions", "ocr", "embeddings", "bad", "catalogue")
CAT = str(ROOT / "sample_data/photos/chelsea.jpg")


WHERE = """polygon => {
    const points = [...polygon.points].map((point) => point.matrixTransform(polygon.getScreenCTM()));
    return [points[0].x, points[0].y, points[1].x - points[0].x];
}"""
"""The first point of a polygon on the screen, and how far the second one is from it."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, str]:
    """The addresses of the reports of sample jobs, really answered by the embedded service."""
    folder = tmp_path_factory.mktemp("pages")
    for name in JOBS:
        made = Job.load(ROOT / f"jobs/{name}.toml", offline=True, output=folder / name)
        made.run()
        made.report(folder / f"{name}.html")
    return {name: (folder / f"{name}.html").as_uri() for name in JOBS}


def shown(page: Any) -> list[str]:
    found: list[str] = page.locator(".card .open").all_inner_texts()
    return found


def search(page: Any, text: str, expected: int) -> None:
    page.get_by_label("Search in ids").fill(text)
    page.get_by_text(f"{expected} row{'' if expected == 1 else 's'} found").wait_for()


def go_down_to(page: Any, rows: int) -> None:
    """Goes to the end of the page until so many rows are there."""
    shown_before = 0
    while (there := page.locator(".card").count()) < rows:
        assert there > shown_before
        shown_before = there
        page.evaluate("scrollTo(0, document.body.scrollHeight)")
        expect(page.locator(".card").nth(there)).to_be_attached()
    expect(page.locator(".card")).to_have_count(rows)
    assert not page.locator(".more").is_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [WIDTH, PHONE])
@pytest.mark.parametrize("name", JOBS)
def test_a_page_is_right_in_each_theme_and_width(browser, pages, name, width, theme):
    with browser.page(pages[name], width=width, theme=theme) as page:
        assert page.locator(".card").count() > 4
        assert not is_wider_than_its_window(page)
        assert accessibility(page) == []
        page.locator(".card .open").nth(2).click()
        assert page.locator("dialog").is_visible()
        assert not is_wider_than_its_window(page)
        assert page.evaluate(
            "document.querySelector('dialog').scrollWidth <= document.querySelector('dialog').clientWidth"
        )
        assert accessibility(page) == []


def test_rows_are_searched_filtered_and_sorted(browser, pages):
    with browser.page(pages["catalogue"]) as page:
        assert len(shown(page)) == 13
        search(page, "CAT egyptian", 1)
        assert shown(page) == ["chelsea"]
        search(page, "no such words", 0)
        assert shown(page) == []
        page.get_by_role("button", name="Clear").click()
        page.get_by_label("Order").select_option("By id")
        assert shown(page) == sorted(shown(page))
        page.get_by_label("colors").select_option("colors: white")
        assert shown(page) == ["horse"]
        page.get_by_label("colors").select_option("colors: any")
        page.get_by_label("Order").select_option("Most tokens in")
        assert shown(page)[0] == "retina"
        page.get_by_label("has_text").select_option("has_text: true")
        assert shown(page) == ["coffee"]


def test_failures_lead_to_their_rows_and_commands(browser, pages):
    with browser.page(pages["bad"]) as page:
        reason = page.locator(".reason", has_text="Local.MissingFile")
        assert "--where \"code = 'Local.MissingFile'\"" in reason.locator("code").inner_text()
        reason.get_by_role("button", name="Show these rows").click()
        assert shown(page) == ["missing"]
        assert page.locator(".card .none").inner_text() == "file not found"
        page.get_by_role("button", name="Clear").click()
        page.get_by_label("State", exact=True).select_option("failed")
        assert len(shown(page)) == 7


def test_boxes_lie_over_the_words(browser, pages):
    with browser.page(pages["ocr"]) as page:
        search(page, "City Museum", 1)
        page.locator(".open").click()
        dialog = page.locator("dialog")
        assert dialog.locator("polygon").count() == 4
        picture = dialog.locator("img").bounding_box()
        x, y, wide = dialog.locator("polygon").first.evaluate(WHERE)
        # sign_en.jpg has 1200 × 800 pixels; its first line of text stands at 310, 169 to 950, 242.
        scale = min(picture["width"] / 1200, picture["height"] / 800)
        left = picture["x"] + (picture["width"] - 1200 * scale) / 2
        top = picture["y"] + (picture["height"] - 800 * scale) / 2
        assert x == pytest.approx(left + 310 * scale, abs=1)
        assert y == pytest.approx(top + 169 * scale, abs=1)
        assert wide == pytest.approx(640 * scale, abs=1)
        dialog.locator(".blocks li").first.hover()
        assert dialog.locator("polygon.lit title").text_content() == "City Museum 400 m"
        dialog.get_by_label("Boxes").uncheck()
        assert not dialog.locator("polygon").first.is_visible()


def test_neighbours_lead_to_their_rows(browser, pages):
    with browser.page(pages["embeddings"]) as page:
        search(page, "picture-cat", 1)
        page.locator(".open").click()
        near = page.locator("dialog .near button")
        name, cosine = near.first.inner_text().split()
        assert name == "fused-cat"
        assert 0.7 < float(cosine) < 1
        near.first.click()
        assert page.locator("dialog h2").inner_text() == "fused-cat"


def test_everything_is_reached_by_keyboard(browser, pages):
    with browser.page(pages["captions"]) as page:
        page.keyboard.press("/")
        page.keyboard.type("picture")
        page.get_by_text("rows found").wait_for()
        page.locator(".open").first.focus()
        first, second = shown(page)[:2]
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Enter")
        title = page.locator("dialog h2")
        assert title.inner_text() == second
        page.keyboard.press("ArrowLeft")
        assert title.inner_text() == first
        page.keyboard.press("Escape")
        assert not page.locator("dialog").is_visible()
        assert page.evaluate("document.activeElement.textContent") == second
        page.keyboard.press("ArrowDown")
        assert page.evaluate("document.activeElement.classList.contains('open')")
        for _ in range(60):
            page.keyboard.press("Shift+Tab")
            if page.evaluate("document.activeElement.textContent.startsWith('Theme')"):
                break
        page.keyboard.press("Enter")
        assert page.evaluate("document.documentElement.dataset.theme") == "light"


def test_the_theme_can_be_chosen_and_stays(browser, pages):
    with browser.page(pages["captions"], theme="light") as page:
        background = "getComputedStyle(document.body).backgroundColor"
        light = page.evaluate(background)
        button = page.get_by_role("button", name="Theme")
        button.click()
        button.click()
        dark = page.evaluate(background)
        assert dark != light
        page.reload()
        assert page.evaluate(background) == dark
        assert button.inner_text() == "Theme: dark"


def test_hostile_texts_are_shown_as_they_are(browser, tmp_path):
    records: list[Any] = [
        answer(f"{number} {text}", text=text, source=[text], columns={text: text})
        for number, text in enumerate(HOSTILE)
    ]
    records += [failure(f"f {text}", fault="rejected", code=text, message=text) for text in HOSTILE]
    records += [attempt(text, fault="rejected", code=text) for text in HOSTILE]
    records += [answer("long", text="W" * 1_000_000)]
    made = job(tmp_path, "caption", *records)
    made.report(tmp_path / "night.html")
    for width in (WIDTH, PHONE):
        with browser.page((tmp_path / "night.html").as_uri(), width=width) as page:
            assert page.locator("main img, main script, main iframe").count() == 0
            texts = page.locator(".card .answer").all_text_contents()
            assert set(HOSTILE) <= set(texts)
            assert not is_wider_than_its_window(page)
            for place in range(4):
                page.locator(".card .open").nth(place).click()
                assert page.locator("dialog .answer").first.text_content() == HOSTILE[place]
                page.keyboard.press("Escape")
            search(page, "onerror=alert", 2)


def test_the_charts_are_of_the_run_that_is_chosen(browser, tmp_path):
    first = [attempt(f"a{number}", fault="throttled", code="x", latency_ms=10) for number in range(5)]
    second = [attempt(f"a{number}", run_id="run-2", started_at=WHEN + 10**9, latency_ms=10) for number in range(3)]
    job(tmp_path, "caption", answer("a"), *first, *second).report(tmp_path / "night.html")
    with browser.page((tmp_path / "night.html").as_uri()) as page:
        titles = page.locator(".chart strong")
        assert "Faults" not in titles.all_inner_texts()
        picker = page.get_by_label("Run shown in the charts")
        assert [text.rpartition(", ")[2] for text in picker.locator("option").all_inner_texts()] == [
            "3 attempts",
            "5 attempts",
        ]
        picker.select_option(index=1)
        assert "Faults" in titles.all_inner_texts()
        faults = page.locator(".chart", has_text="Faults")
        assert "throttled 5" in str(faults.locator("svg").get_attribute("aria-label"))
        assert accessibility(page) == []


def test_more_rows_come_as_one_goes_down(browser, tmp_path):
    made = job(tmp_path, "caption", *(answer(f"a{number:04}") for number in range(300)))
    made.report(tmp_path / "night.html", rows=200)
    with browser.page((tmp_path / "night.html").as_uri()) as page:
        assert page.get_by_text("200 of 300 rows shown, taken evenly").is_visible()
        assert page.locator(".card").count() < 200
        go_down_to(page, 200)


def test_the_live_page_shows_all_rows(browser, tmp_path):
    records = [answer(f"a{number:04}", text=f"caption {number}", source=[CAT]) for number in range(120)]
    made = job(tmp_path, "caption", *records, failure("broken", code="Code1"))
    with ReportServer(Live(made.spec, lambda text, k: [("a0007", 0.91), ("a0003", 0.5)])) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            with browser.page(server.url) as page:
                page.get_by_text("121 rows found").wait_for()
                go_down_to(page, 121)
                search(page, "caption 77", 1)
                page.locator(".open").click()
                expect(page.locator("dialog img")).to_have_js_property("naturalWidth", 451)
                page.keyboard.press("Escape")
                page.get_by_label("How the search finds").select_option("By meaning")
                page.get_by_text("2 rows found").wait_for()
                assert shown(page) == ["a0007", "a0003"]
                assert page.get_by_text("score 0.910").is_visible()
                assert accessibility(page) == []
        finally:
            server.shutdown()
            thread.join()


def compared(tmp_path: Path) -> str:
    """The address of a page that compares hostile answers."""
    texts = [HOSTILE[0], "a cup of coffee", "a red cup"]
    sides = []
    for name, ends in (("one", ""), ("two", " on a table")):
        records = [answer(f"r{number}", text=text + ends, source=[CAT]) for number, text in enumerate(texts)]
        (tmp_path / name).mkdir()
        sides.append(job(tmp_path / name, "caption", *records))
    found = sides[0].compare(sides[1])
    write_compared(sides[0].spec, found, tmp_path / "compare.html")
    return (tmp_path / "compare.html").as_uri()


@pytest.mark.parametrize("width", [WIDTH, PHONE])
def test_two_sides_are_compared_and_picked(browser, tmp_path, width):
    with browser.page(compared(tmp_path), width=width) as page:
        page.get_by_text("3 rows found").wait_for()
        assert page.locator(".pair").count() == 3
        assert HOSTILE[0] in page.locator(".pair .answer").all_text_contents()
        assert "table" in page.locator(".pair mark").all_inner_texts()
        page.get_by_role("group", name="Pick for r1").get_by_role("button", name="B is better").click()
        page.get_by_role("group", name="Pick for r2").get_by_role("button", name="Equal").focus()
        page.keyboard.press("n")
        page.get_by_text("Picks: b is better 1, neither 1.").wait_for()
        with page.expect_download() as saved:
            page.get_by_role("button", name="Save picks (CSV)").click()
        saved.value.save_as(tmp_path / "picks.csv")
        assert picks(tmp_path / "picks.csv", ["r0", "r1", "r2"]) == {"r1": "b", "r2": "neither"}
        page.get_by_label("Pick", exact=True).select_option("Not picked")
        page.get_by_text("1 row found").wait_for()
        assert not is_wider_than_its_window(page)
        assert accessibility(page) == []


@pytest.mark.parametrize("width", [WIDTH, PHONE])
def test_a_search_is_a_contact_sheet(browser, tmp_path, width):
    records = [vector(f"v{number}", [1.0, number], source=[CAT], columns={"note": HOSTILE[0]}) for number in range(4)]
    made = job(tmp_path, "embed", *records)
    found = made.search(id="v0", k=3)
    with browser.page(made.search_page(found, tmp_path / "hits.html").as_uri(), width=width) as page:
        assert page.locator(".card .open").all_inner_texts() == ["v1", "v2", "v3"]
        page.locator(".card .open").first.click()
        assert page.locator("dialog").get_by_text("score 0.707107").is_visible()
        page.keyboard.press("Escape")
        assert not is_wider_than_its_window(page)
        assert accessibility(page) == []
