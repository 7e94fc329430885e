"""How pages look and whether everybody can use them: light and dark, phone width, no serious hindrance."""

from __future__ import annotations

import pytest

axe = pytest.importorskip("axe_playwright_python.sync_playwright")
sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

PHONE = {"width": 390, "height": 844}
PAGES = ("/", "/s/1", "/s/2")


def background(page):
    return page.evaluate("getComputedStyle(document.body).backgroundColor")


def test_light_and_dark_follow_the_system_until_one_is_chosen(server, open_tab):
    light = open_tab(server, "/s/1", color_scheme="light")
    dark = open_tab(server, "/s/1", color_scheme="dark")
    assert background(light) != background(dark)
    wanted = background(light)
    dark.keyboard.press("t")
    assert background(dark) == wanted
    dark.reload()
    assert background(dark) == wanted  # remembered


@pytest.mark.parametrize("path", ["/", "/s/1"])
def test_nothing_sticks_out_on_a_phone(server, open_tab, path):
    page = open_tab(server, path, viewport=PHONE)
    page.wait_for_load_state("networkidle")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_on_a_phone_rows_are_cards(server, open_tab):
    page = open_tab(server, "/s/1", viewport=PHONE)
    row = page.locator("#rows tr").first
    expect(row).to_be_visible()
    assert row.bounding_box()["width"] <= PHONE["width"]
    expect(row.locator(".c-spark svg")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_axe_finds_nothing_serious(server, open_tab, path, scheme):
    page = open_tab(server, path, color_scheme=scheme)
    if path.startswith("/s/"):
        page.get_by_label("tick fine 6").check()
    found = axe.Axe().run(page)
    serious = [
        (one["id"], one["nodes"][0]["html"][:120], one["nodes"][0].get("failureSummary", "")[:300])
        for one in found.response["violations"]
        if one["impact"] in ("serious", "critical")
    ]
    assert serious == []


def test_what_moves_stands_still_where_that_is_wanted(server, open_tab):
    page = open_tab(server, "/s/2", reduced_motion="reduce")
    moving = page.locator(".state.running").first.evaluate(
        "one => getComputedStyle(one, '::before').animationName"
    )
    assert moving == "none"
