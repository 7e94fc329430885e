"""The page of a watched run: the verdict first, every link arrives, nothing from elsewhere."""

from __future__ import annotations

import math
import re
from dataclasses import replace

import pytest

from babysit.diagnosis.report import Report
from babysit.loss_graph import LossGraph
from babysit.verdicts import Answer, Cause, Question
from babysit.views.data import watched_run
from babysit.views.data.lines import MOST_LINES
from babysit.views.html.verdict_page import verdict_page
from babysit.views.svg.line_figures import legend_html
from babysit.watching.report import report_on
from babysit.watching.sample import (
    Epoch,
    LayerStat,
    OutputStat,
    Sample,
    Setup,
    TargetStat,
    TensorStat,
    Units,
    WatchLog,
)
from views.html.test_report import WellFormed
from views.studies import CHECKS, EVIL, FINDING

NAN = math.nan


def sample(step, layers=3, ratio=1e-3, std=1.0):
    names = [f"layer{number}" for number in range(layers)]
    return Sample(
        step,
        True,
        (0.1,),
        layers={name: LayerStat(0.1, std, 0.2 if name == "layer0" else NAN) for name in names},
        tensors={f"{name}.weight": TensorStat(10.0, 1.0, 10 * ratio, 100, 2) for name in names},
        output=OutputStat(32, 0.0, 1.0, 1.0),
        targets=TargetStat(shares=(0.5, 0.5)),
    )


def run(losses, **options):
    steps = range(1, len(losses) + 1, 16)
    given = {
        "samples": tuple(sample(step) for step in steps),
        "epochs": tuple(Epoch(step, 0.9, 0.8) for step in steps),
        "units": {"layer1": Units(24, 32, 9, 1)},
        "graph": LossGraph(cut=False, kind="cross-entropy", alone=True),
        **options,
    }
    return WatchLog(Setup(trainable=("layer0.weight",)), tuple(losses), **given)


FALLING = run([2.3 * 0.99**step for step in range(200)])


def parsed(report, log=None, checks=()):
    page = verdict_page(report, log, checks)
    parser = WellFormed()
    parser.feed(page)
    assert parser.open == []
    assert parser.scripts == 0
    outside = page.replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert not re.search(r"https?://|url\(|@import|src=", outside)
    keys = set(re.findall(r'id="(\w+)"', page))
    assert set(re.findall(r'href="#(\w+)"', page)) <= keys
    assert not re.search(r'[ML" ](nan|inf|-inf)\b[^"<]*"/?>', re.sub(r"<t[dh].*?</t[dh]>", "", page))
    return page


def keys(page):
    return re.findall(r'<figure id="(\w+)"', page)


def test_a_run_shows_every_quantity():
    page = parsed(report_on(FALLING, "mnist"), FALLING)
    everything = ["loss", "scores", "updates", "gradients", "spread", "means", "saturation", "rates"]
    assert keys(page) == everything
    assert "<title>mnist · babysit</title>" in page
    assert "chance" in page
    assert "first loss" in page
    assert re.search(r"75\.0 %.*?of 32", page)  # dead units
    assert "10.0 % at the end" in page  # the gap


def test_a_cause_leads_to_its_figure_and_is_marked_there():
    log = run([2.0] * 24 + [NAN] * 40)
    page = parsed(report_on(log, "broken"), log)
    cause = page[page.index('class="note cause') : page.index('id="loss"')]
    assert 'href="#loss"' in cause
    assert "since step 25" in cause
    assert "From step 25 on it is NaN or infinite." in page
    drawn = page[page.index('id="loss"') : page.index('id="scores"')]
    assert 'font-weight="700">1</text>' in drawn


def test_a_cause_leads_to_the_figure_of_its_problem():
    log = run([2.3] * 200, samples=tuple(sample(step, ratio=1e-9) for step in range(1, 200, 16)), units={})
    report = report_on(log, "slow")
    assert report.causes[0].rule == "learning_rate_too_low"
    page = parsed(report, log)
    assert 'href="#updates"' in page
    assert "relative fall of the loss" in page


def test_the_axis_ends_soon_after_the_loss_does():
    log = run([2.0] * 100 + [NAN] * 900)
    assert watched_run.broken_from(log) == 101
    assert watched_run.step_axis(log).high == 126
    assert all(0 <= x <= 1 for line in watched_run.rate_lines(log).lines for x, _ in line.points)
    assert watched_run.broken_from(FALLING) == 0


@pytest.mark.parametrize(
    "losses",
    [
        [],
        [NAN] * 30,
        [math.inf] * 30,
        [1.0],
        [0.0] * 50,
        [-5.0, 3.0] * 20,
        [10.0**power for power in range(-300, 300, 10)],
    ],
    ids=["none", "nan", "infinite", "one", "zero", "negative", "huge"],
)
def test_odd_losses(losses):
    log = run(losses)
    parsed(report_on(log, "odd"), log)
    assert (watched_run.loss_lines(log) is None) == (not any(map(math.isfinite, losses)))


def test_odd_statistics():
    odd = (sample(1, ratio=NAN, std=math.inf), sample(2, ratio=0.0, std=0.0), sample(3, std=1e300))
    log = run([1.0] * 30, samples=odd, epochs=(Epoch(3, NAN, NAN),))
    page = parsed(report_on(log, "odd"), log)
    assert "scores" not in keys(page)


def test_a_run_that_measured_nothing_still_has_its_verdict():
    log = WatchLog(Setup())
    assert keys(parsed(report_on(log, "empty"), log)) == []


def test_a_report_alone_has_no_figures_but_its_checks():
    page = parsed(Report((Cause(FINDING),), when="before training", name="recipe"), checks=CHECKS)
    assert keys(page) == []
    assert "Subtract the mean image." in page
    assert "href" not in page


def test_the_names_of_users_are_escaped():
    finding = replace(FINDING, message=EVIL, where=EVIL, advice=EVIL, rule=EVIL, source=EVIL)
    stats = {EVIL: LayerStat(0.0, 1.0), f"{EVIL}2": LayerStat(0.0, 2.0)}
    log = run([1.0] * 20, samples=(replace(sample(1), layers=stats), replace(sample(9), layers=stats)))
    asked = (Question("plateau", Answer.NOT_ANSWERED, EVIL),)
    report = Report((Cause(finding, (finding,), EVIL),), asked, (EVIL,), when=EVIL, name=EVIL)
    assert "<script>" not in parsed(report, log)


def test_what_was_not_looked_at_is_folded():
    asked = (Question("plateau"), Question("dead_units", Answer.NOT_ANSWERED, "only 3 steps"))
    page = parsed(Report(questions=asked, name="mine"))
    assert '<p class="score">undecided</p>' in page
    assert "nothing wrong in 1 question, 1 not answered" in page
    folded = page[page.index("Not examined") : page.index("</details>")]
    assert "not answered (only 3 steps): dead units" in folded


def test_many_layers_are_drawn_evenly_and_named_by_their_ends():
    log = run([1.0] * 40, samples=tuple(sample(step, layers=300) for step in (1, 17, 33)))
    lines = watched_run.std_lines(log).lines
    assert (len(lines), lines[0].name, lines[-1].name) == (MOST_LINES, "layer0", "layer299")
    assert (lines[0].shade, lines[-1].shade) == (0.0, 1.0)
    legend = legend_html(lines)
    assert "38 between" in legend
    assert "layer17<" not in legend
    assert len(parsed(report_on(log, "deep"), log)) < 400_000


def test_a_long_run_stays_small_and_keeps_its_spike():
    losses = [1.0] * 50_000
    losses[31_234] = 9.0
    log = run(losses, samples=tuple(sample(step) for step in range(1, 50_000, 64)))
    assert len(parsed(report_on(log, "long"), log)) < 200_000
    (loss,) = watched_run.loss_lines(log).lines
    assert max(height for _, height in loss.area) > 0.9


def test_the_band_lies_round_1e_3_on_a_log_axis():
    lines = watched_run.ratio_lines(FALLING)
    assert lines.y.log
    low, high = lines.band
    assert lines.levels[0].place == pytest.approx((low + high) / 2)
    assert 0 <= low < high <= 1
