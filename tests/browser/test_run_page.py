"""The page of a run in a real browser: findings lead to figures, it patches itself, a zoom keeps spikes."""

from __future__ import annotations

import numpy as np
import pytest

from babysit.records import Details, Reading, Snapshot, Trial
from babysit.store.writer import Writer
from browser.conftest import serve
from browser.stores import EVIL, living
from views.dashboard.test_run_page import SPIKE, STEPS, VERDICT, write_run

axe = pytest.importorskip("axe_playwright_python.sync_playwright")
expect = pytest.importorskip("playwright.sync_api").expect

PHONE = {"width": 390, "height": 844}
RUNNING = Trial(0, 0, {"learning_rate": 1e-3, "update": EVIL})


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Study 1 has ended, study 2 (its name is a script) goes on."""
    path = str(tmp_path_factory.mktemp("runs") / "runs.db")
    with Writer(path) as writer:
        write_run(writer)
        write_run(writer, EVIL, ended=False)
    with serve(path) as running:
        yield running, path


def test_show_jumps_to_the_figure_and_marks_it(runs, open_tab):
    page = open_tab(runs[0], "/r/1/0/0")
    figure = page.locator("#dead")
    expect(figure).not_to_be_in_viewport()
    plain = figure.evaluate("one => getComputedStyle(one).boxShadow")
    page.locator(".finding", has_text="units are silent").get_by_role("link", name="show").first.click()
    expect(figure).to_be_in_viewport()
    assert figure.evaluate("one => getComputedStyle(one).boxShadow") != plain


def test_a_run_whose_names_are_scripts_runs_none(runs, open_tab):
    page = open_tab(runs[0], "/r/2/0/0")
    expect(page.get_by_role("heading", level=1)).to_have_text(EVIL)
    own = "all => all.every(one => one.src || one.type.endsWith('json'))"
    assert page.locator("script").evaluate_all(own)


def test_the_slider_turns_the_weights_and_stays_where_it_is(runs, open_tab):
    page = open_tab(runs[0], "/r/2/0/0")
    slider, image = page.locator("#weight-step"), page.locator("#weight-image")
    expect(page.locator("#weight-label")).to_have_text("step 401")
    slider.focus()
    slider.press("ArrowLeft")
    expect(page.locator("#weight-label")).to_have_text("step 1")
    expect(page.locator("#weight-image[src$='/weights/1']")).to_be_visible()
    assert image.evaluate("one => one.naturalWidth") > 20
    page.wait_for_timeout(2300)  # two polls later it still shows the step that was chosen
    expect(page.locator("#weight-label")).to_have_text("step 1")


def test_a_running_page_patches_what_changed_and_nothing_else(runs, open_tab):
    server, path = runs
    page = open_tab(server, "/r/2/0/0")
    page.evaluate("document.querySelector('#spread').mark = document.querySelector('#spread .drawing')")
    before = page.locator("#loss svg").evaluate("one => one.outerHTML")
    with Writer(path) as writer:
        writer.verdict(2, RUNNING, VERDICT)
    expect(page.get_by_text("units are silent").first).to_be_visible()
    assert page.evaluate("document.querySelector('#spread').mark.isConnected")
    with Writer(path) as writer:
        reading = Reading(5, STEPS + 50, 0.2, 0.99, 0.98, 1e-3, 1.5)
        writer.epoch(2, RUNNING, reading, np.arange(STEPS + 1, STEPS + 51), np.full(50, 0.2))
        weights = np.zeros((5, 1, 8, 8), np.float16)
        writer.details(2, RUNNING, Details(snapshots=[Snapshot("0.weight", STEPS, weights)]))
    expect(page.locator("#weight-label")).to_have_text("step 20,000")  # who looks at the newest goes along
    expect(page.locator("[data-part=readings] tbody tr").first).to_contain_text("98.0 %")
    assert page.locator("#loss svg").evaluate("one => one.outerHTML") != before


def test_a_request_is_asked_seen_and_applied_and_marked_on_the_curve(runs, open_tab):
    server, path = runs
    page = open_tab(server, "/r/2/0/0")
    with living(path, 2) as desk:
        page.get_by_role("button", name="lr × 0.5").click()
        expect(page.locator(".requests li")).to_contain_text("asked")
        (seen,) = desk.take(2)
        expect(page.locator(".requests li strong")).to_have_text("seen")
        desk.applied(seen.id, step=12_345)
        expect(page.locator(".requests li strong")).to_have_text("applied at step 12345")
    expect(page.locator("#loss svg")).to_contain_text("by the user after step 12345: learning rate times 0.5")
    expect(page.locator(".facts")).to_contain_text("by the user after step 12345")
    ended = open_tab(server, "/r/1/0/0")
    expect(ended.locator("#touches")).to_be_hidden()


def test_the_lab_is_found_from_the_studies_and_by_its_keys(runs, open_tab):
    page = open_tab(runs[0], "/")
    page.get_by_role("link", name="experiments").click()
    expect(page).to_have_url(f"{runs[0].url}lab")
    page = open_tab(runs[0], "/r/1/0/0")
    page.keyboard.press("g")
    page.keyboard.press("l")
    expect(page).to_have_url(f"{runs[0].url}lab")


def highest(page):
    values = page.locator("#explore-plot").evaluate("one => one.data.flatMap(trace => [...trace.y])")
    return max(value for value in values if value is not None)


def test_plotly_comes_on_demand_only_and_a_zoom_keeps_the_spike(runs, open_tab):
    pytest.importorskip("plotly")
    page = open_tab(runs[0], "/r/1/0/0")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_load_state("networkidle")
    assert page.evaluate("typeof Plotly") == "undefined"
    page.locator("#loss [data-explore]").click()
    page.locator("#explore-plot[data-points='20000']").wait_for()
    assert sum("/plotly/" in url for url in asked) == 1
    assert highest(page) == 50.0
    box = page.locator("#explore-plot .nsewdrag").bounding_box()
    at = box["x"] + box["width"] * SPIKE / STEPS
    page.mouse.move(at - 60, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(at + 60, box["y"] + 60, steps=8)
    page.mouse.up()
    expect(page.locator("#explore-plot")).not_to_have_attribute("data-points", "20000")
    assert int(page.locator("#explore-plot").get_attribute("data-points")) < STEPS / 2
    assert highest(page) == 50.0
    page.get_by_role("button", name="Close").click()
    page.locator("#updates [data-explore]").click()
    expect(page.locator("#explore-key")).to_have_value("layers/0.weight/update_ratio")
    expect(page.locator("#explore-log")).to_be_checked()
    assert sum("/plotly/" in url for url in asked) == 1


def test_comparing_shows_only_what_differs(server, open_tab):
    page = open_tab(server, "/compare?r=1-0-3&r=1-1-6&r=1-0-11")
    names = page.locator("tbody th[scope=row]").all_text_contents()
    assert {"learning_rate", "l2"} <= set(names)
    assert not {"hidden", "loss"} & set(names)
    expect(page.locator("figure svg")).to_have_count(2)
    expect(page.locator("figure").first).to_contain_text("fine 6")
    page.get_by_role("link", name="fine 6").click()
    expect(page).to_have_url(f"{server.url}r/1/1/6")


PAGES = ("/r/1/0/0", "/r/2/0/0", "/compare?r=1-0-0&r=2-0-0", "/lab")


@pytest.mark.parametrize("path", PAGES)
def test_nothing_sticks_out_on_a_phone(runs, open_tab, path):
    page = open_tab(runs[0], path, viewport=PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_serious(runs, open_tab, path, scheme):
    page = open_tab(runs[0], path, color_scheme=scheme)
    found = axe.Axe().run(page)
    serious = [
        (one["id"], one["nodes"][0]["html"][:120], one["nodes"][0].get("failureSummary", "")[:300])
        for one in found.response["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_dark_is_dark_and_lines_are_told_apart_there(runs, open_tab):
    light = open_tab(runs[0], "/compare?r=1-0-0&r=2-0-0", color_scheme="light")
    dark = open_tab(runs[0], "/compare?r=1-0-0&r=2-0-0", color_scheme="dark")
    colour = "getComputedStyle(document.documentElement).getPropertyValue('--series-0')"
    assert dark.evaluate(colour) != light.evaluate(colour)
    for page in (light, dark):
        strokes = page.locator("figure path[stroke-width='1.8']")
        drawn = strokes.evaluate_all("all => all.map(one => getComputedStyle(one).stroke)")
        assert len(set(drawn)) == 2
