"""The command center in a real browser: what a person does with it, and what must never happen."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from babysit.records import State
from babysit.store.writer import Writer
from browser.conftest import serve
from browser.stores import (
    EPOCHS,
    EVIL,
    STOPPED,
    ended,
    finished,
    living,
    trial,
    write_epochs,
    write_results,
    write_search,
)

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect


def names(page):
    return page.locator("#rows .c-name a").all_inner_texts()


def column(page, name):
    return page.locator(f"#rows .c-{name}").all_inner_texts()


def test_the_best_stands_first_and_every_trial_is_drawn(server, open_tab):
    page = open_tab(server, "/s/1")
    expect(page.locator("#rows tr")).to_have_count(20)
    assert names(page)[0] == "fine 6"
    expect(page.locator("#rows tr").first.locator(".rank")).to_have_text("★")
    drawn = page.locator("#plane .points path:not(.rim):not(.best):not(.alive)")
    points = sum(
        len(re.findall("M", d)) for d in drawn.evaluate_all("all => all.map(one => one.getAttribute('d'))")
    )
    assert points == 20
    expect(page.locator("#plane .searched")).to_have_count(2)
    expect(page.locator("#plane .points .exploded")).to_have_count(1)
    sparks = page.locator("#rows .spark path:first-child").evaluate_all(
        "all => all.map(one => one.getAttribute('d').length)"
    )
    assert len(sparks) == 20
    assert min(sparks) > 40


def test_any_column_sorts_both_ways(server, open_tab):
    page = open_tab(server, "/s/1")
    page.get_by_role("button", name="learning_rate", exact=True).click()
    values = [float(text) for text in page.locator("#rows td:nth-child(4)").all_inner_texts()]
    assert values == sorted(values)
    page.get_by_role("button", name="learning_rate", exact=True).click()
    values = [float(text) for text in page.locator("#rows td:nth-child(4)").all_inner_texts()]
    assert values == sorted(values, reverse=True)
    page.get_by_role("button", name="val acc", exact=True).click()
    assert column(page, "score")[-1] == "–"  # what has no score comes last, whichever way
    page.get_by_role("button", name="val acc", exact=True).click()
    assert column(page, "score")[-1] == "–"
    expect(page.locator("th[aria-sort]")).to_have_attribute("data-column", "score")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("fine", lambda row: row["stage"] == 1),
        ("lr<1e-5", lambda row: row["rate"] < 1e-5),
        (
            "learning_rate>=1e-4 val>0.3",
            lambda row: row["rate"] >= 1e-4 and row["score"] and row["score"] > 0.3,
        ),
        ("val>30%", lambda row: row["score"] and row["score"] > 0.3),
        ("state=exploded", lambda row: row["state"] == "exploded"),
        ("state!=exploded stage=coarse", lambda row: row["state"] != "exploded" and row["stage"] == 0),
        ("findings>0", lambda row: row["findings"] > 0),
        ("cost 4.0", lambda row: row["state"] == "exploded"),
    ],
)
def test_the_filter_means_what_it_says(server, open_tab, text, wanted):
    page = open_tab(server, "/s/1")
    page.locator("#filter").fill(text)
    rows = page.evaluate(
        "JSON.parse(document.getElementById('data').textContent).rows.map(r => ({stage: r[0], number: r[1],"
        " state: r[2], score: r[3], findings: r[8], rate: Number(r[15][0])}))"
    )
    expected = {f"{('coarse', 'fine')[row['stage']]} {row['number']}" for row in rows if wanted(row)}
    assert expected
    expect(page.locator("#count")).to_have_text(f"{len(expected)} of 20")
    assert set(names(page)) == expected


def test_a_filter_that_makes_no_sense_says_so(server, open_tab):
    page = open_tab(server, "/s/1")
    page.locator("#filter").fill("nonsense>3")
    expect(page.locator("#filter-problem")).to_contain_text(
        "no column nonsense: there are learning_rate, l2, val"
    )
    page.locator("#filter").fill("val>2")
    expect(page.locator("#none")).to_be_visible()
    page.get_by_role("button", name="Clear the filter").click()
    expect(page.locator("#rows tr")).to_have_count(20)


def test_a_chip_shows_one_state(server, open_tab):
    page = open_tab(server, "/s/1")
    page.locator("#chips [data-state=exploded]").click()
    expect(page.locator("#rows tr")).to_have_count(2)
    expect(page.locator("#chips [data-state=exploded]")).to_have_attribute("aria-pressed", "true")
    page.locator("#chips [data-state=exploded]").click()
    expect(page.locator("#rows tr")).to_have_count(20)


def test_a_row_and_its_point_are_marked_together(server, open_tab):
    page = open_tab(server, "/s/1")
    ring = page.locator("#plane .ring")
    page.locator("#rows tr[data-key='1-6']").hover()
    expect(ring).not_to_have_attribute("cx", "-99")
    at = [float(ring.get_attribute(name)) for name in ("cx", "cy")]
    expect(page.locator(".tip")).to_contain_text("fine 6")
    assert page.locator("#parallel .marked").get_attribute("d")
    page.locator("h1").hover()
    expect(page.locator(".tip")).to_be_hidden()
    box = page.locator("#plane svg").bounding_box()
    page.mouse.move(box["x"] + at[0] / 560 * box["width"], box["y"] + at[1] / 400 * box["height"])
    expect(page.locator("#rows tr[data-key='1-6']")).to_have_class(re.compile("hovered"))


def test_a_box_drawn_becomes_the_next_range(server, open_tab):
    page = open_tab(server, "/s/1")
    box = page.locator("#plane svg").bounding_box()

    def at(x, y):
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    page.mouse.move(*at(0.5, 0.2))
    page.mouse.down()
    page.mouse.move(*at(0.9, 0.7), steps=4)
    page.mouse.up()
    command = page.locator("#range-command")
    expect(command).to_contain_text("babysit search cifar10 -s 'learning_rate=log_uniform(")
    expect(page.locator("#range-count")).to_contain_text("trials lie in it, the best at")
    page.get_by_label("learning_rate from").fill("1e-4")
    page.get_by_label("learning_rate to").fill("1e-2")
    expect(command).to_contain_text("learning_rate=log_uniform(1e-4, 1e-2)")
    page.get_by_role("button", name="Copy the command").click()
    expect(page.locator("#toast")).to_have_text("copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == command.inner_text()
    assert copied.endswith("--stages coarse:12x4,fine:8x4")
    page.get_by_role("button", name="clear", exact=True).click()
    expect(command).to_be_hidden()


def test_other_hyperparameters_can_be_plotted(server, open_tab):
    page = open_tab(server, "/s/1")
    page.locator("#up").select_option(label="val acc")
    expect(page.locator("#plane text.name").last).to_have_text("val acc")
    expect(page.locator("#plane .searched")).to_have_count(0)


def test_the_keyboard_does_it_all(server, open_tab):
    page = open_tab(server, "/s/1")
    expect(page.locator("#rows tr")).to_have_count(20)
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.locator("#rows tr").nth(1)).to_be_focused()
    page.keyboard.press("x")
    page.keyboard.press("k")
    expect(page.locator("#rows tr").nth(0)).to_be_focused()
    page.keyboard.press("x")
    expect(page.locator("#ticked-count")).to_have_text("2 ticked")
    page.keyboard.press("/")
    expect(page.locator("#filter")).to_be_focused()
    page.keyboard.type("j?x")  # letters typed there are letters
    expect(page.locator("#filter")).to_have_value("j?x")
    page.keyboard.press("Escape")
    expect(page.locator("#filter")).to_have_value("")
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/r/1/\d/\d+$"))


def test_g_s_leads_to_all_studies(server, open_tab):
    page = open_tab(server, "/s/1")
    page.keyboard.press("g")
    page.keyboard.press("s")
    page.wait_for_url(server.url)
    expect(page.locator(".studies > li")).to_have_count(2)


def test_ticked_trials_are_compared(server, open_tab):
    page = open_tab(server, "/s/1")
    page.get_by_label("tick fine 6").check()
    expect(page.locator("#compare")).to_be_disabled()
    page.get_by_label("tick fine 5").check()
    page.locator("#compare").click()
    page.wait_for_url(re.compile(r"/compare\?r=1-1-6&r=1-1-5$"))


def test_a_trial_is_cloned_with_changes(server, open_tab):
    page = open_tab(server, "/s/1")
    page.get_by_label("tick fine 6").check()
    page.locator("#clone").click()
    page.locator("#clone-fields input[name=l2]").fill("0.5")
    expect(page.locator("#clone-command")).to_contain_text("babysit train cifar10 -s learning_rate=")
    expect(page.locator("#clone-command")).to_contain_text("-s l2=0.5 -s epochs=4")


def test_numbers_are_written_as_in_python(server, open_tab):
    from babysit.views.data.formatting import exponent_text, number_text, percent_text

    page = open_tab(server, "/s/1")
    values = [
        0.0,
        1e-4,
        7.512e-4,
        0.01,
        0.05678,
        0.1,
        1.0,
        2.302585,
        50.0,
        999.96,
        1234.6,
        12345.6,
        1e5,
        2.5e7,
        -0.002,
    ]
    source = page.locator("link[href$='numbers.js']").get_attribute("href")
    told = page.evaluate(
        "async ([source, values]) => { const m = await import(source);"
        " return values.map(v => [m.numberText(v), m.exponentText(v), m.percentText(v)]) }",
        [source, values],
    )
    assert told == [[number_text(v), exponent_text(v), percent_text(v)] for v in values]


@pytest.mark.parametrize("path", ["/", "/s/2"])
def test_a_name_that_is_a_script_is_a_name(server, open_tab, path):
    page = open_tab(server, path)
    page.on("dialog", lambda dialog: pytest.fail(f"a script ran: {dialog.message}"))
    expect(page.get_by_text(EVIL).first).to_be_visible()
    page.wait_for_timeout(100)


class TestLive:
    @pytest.fixture
    def search(self, tmp_path):
        """A search under way: its writer, its number, the server."""
        path = str(tmp_path / "runs.db")
        with Writer(path) as writer:
            study = write_search(writer, running=3)
            writer.flush()
            with serve(path) as server:
                yield writer, study, server, path

    def test_rows_and_points_change_where_they_stand(self, search, open_tab):
        writer, study, server, _ = search
        page = open_tab(server, f"/s/{study}")
        expect(page.locator("#rows tr")).to_have_count(20)
        before = names(page)
        running = page.locator("#rows tr[data-key='1-5']")
        expect(running.locator(".c-epochs")).to_have_text("1/4")
        one = trial(1, 5, 5.4e-4)
        write_epochs(writer, study, one, 0.99, range(2, EPOCHS + 1))
        writer.finish_trials(study, [finished(one, 0.99)])
        expect(running.locator(".c-epochs")).to_have_text("4/4")
        expect(running.locator(".c-state")).to_have_text("complete")
        expect(running.locator(".rank")).to_have_text("★")
        expect(page.locator("#status .score")).to_have_text("99.0 %")
        assert names(page) == before  # nothing moved
        page.get_by_role("button", name="Order changed: sort again").click()
        assert names(page)[0] == "fine 5"
        expect(page.locator("#live")).to_contain_text("live")

    def test_the_best_and_its_alarm_are_the_servers(self, search, open_tab):
        writer, study, server, _ = search
        page = open_tab(server, f"/s/{study}")
        star, alarm = page.locator("#rows tr.best"), page.locator(".alarm")
        expect(star).to_have_attribute("data-key", "0-10")
        # A higher score of a stopped trial, at an edge, changes neither.
        write_results(writer, study, ended(20, 0.995, 9.7e-4, State.STOPPED, STOPPED))
        expect(page.locator("#rows tr[data-key='0-20'] .c-state")).to_have_text("stopped")
        expect(star).to_have_attribute("data-key", "0-10")
        expect(alarm).to_have_count(0)
        # A running one is the best, and says why there is no alarm yet; complete, it raises one.
        one = trial(1, 7, 9.8e-4)
        write_epochs(writer, study, one, 0.99, range(2, EPOCHS + 1))
        expect(star).to_have_attribute("data-key", "1-7")
        expect(page.locator(".no-alarms")).to_have_text("No edge alarm yet: the best trial is still running.")
        writer.finish_trials(study, [finished(one, 0.99)])
        expect(alarm).to_contain_text("next to the upper edge")
        expect(page.locator(".no-alarms")).to_have_count(0)

    def test_new_trials_appear(self, search, open_tab):
        writer, study, server, _ = search
        page = open_tab(server, f"/s/{study}")
        expect(page.locator("#rows tr")).to_have_count(20)
        writer.begin_trials(study, [trial(1, 8, 2e-4)])
        expect(page.locator("#rows tr")).to_have_count(21)
        expect(page.locator("#count")).to_have_text("21")

    def test_a_stop_is_asked_seen_and_applied(self, search, open_tab):
        _, study, server, path = search
        with living(path, study) as trainer:
            page = open_tab(server, f"/s/{study}")
            page.get_by_label("tick fine 6").check()
            page.locator("#touches").get_by_role("button", name="Stop").click()
            request = page.locator(".request").first
            expect(request.locator("[aria-current=step]")).to_have_text("asked")
            [seen] = trainer.take(study)
            expect(request.locator("[aria-current=step]")).to_have_text("seen")
            trainer.applied(seen.id, step=77)
            expect(request.locator("[aria-current=step]")).to_have_text("applied at step 77")

    def test_a_rate_is_lowered_and_a_study_stopped(self, search, open_tab):
        _, study, server, path = search
        with living(path, study) as trainer:
            page = open_tab(server, f"/s/{study}")
            page.get_by_label("tick fine 5").check()
            page.get_by_label("tick fine 0").check()  # it has ended: nothing is asked of it
            page.get_by_role("button", name="lr × 0.1").click()
            expect(page.locator(".request")).to_have_count(1)
            page.locator("#stop-open").click()
            page.get_by_role("button", name="Stop the study").click()
            expect(page.locator(".request")).to_have_count(2)
            asked = trainer.take(study)
            assert [(one.kind, one.trial, one.argument) for one in asked[:1]] == [
                ("scale_learning_rate", (1, 5), 0.1)
            ]
            assert asked[1].kind == "stop_study"

    def test_the_page_says_when_the_server_is_gone(self, tmp_path, open_tab, chromium):
        path = str(tmp_path / "gone.db")
        with Writer(path) as writer:
            write_search(writer)
        context = chromium.new_context()
        page = context.new_page()
        with serve(path) as server:
            page.goto(f"{server.url}s/1")
            expect(page.locator("#live")).to_contain_text("live")
        expect(page.locator("#live")).to_contain_text("stale since", timeout=10_000)
        expect(page.locator("#rows tr")).to_have_count(20)
        context.close()


def test_eight_tabs_live_at_once(server, open_tab):
    pages = [open_tab(server, "/s/1") for _ in range(8)]
    for page in pages:
        expect(page.locator("#rows tr")).to_have_count(20)
        expect(page.locator("#live")).to_contain_text("live")


def test_a_real_search_fills_the_pages_by_itself(tmp_path, open_tab):
    """Nothing is there when the page is opened; the search is the command's own, in a process of its own."""
    path = str(tmp_path / "runs.db")
    words = ["search", "digits", "--stages", "coarse:6x3", "--store", path, "--out", str(tmp_path)]
    with serve(path) as server:
        page = open_tab(server, "/")
        expect(page.get_by_text("No study yet")).to_be_visible()
        search = subprocess.Popen(
            [sys.executable, "-m", "babysit", *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        page.locator(".studies a").click(timeout=90_000)
        expect(page.locator("#rows tr")).to_have_count(6, timeout=60_000)
        expect(page.locator("#status .whole-state")).to_have_text("complete", timeout=90_000)
        assert search.wait(timeout=60) == 0
        expect(page.locator("#rows .c-epochs").first).to_have_text("3/3")
        expect(page.locator("#stop-open")).to_be_hidden()
