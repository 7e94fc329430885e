"""What every store must do, whatever database is behind it.

A store's tests subclass :class:`StoreContract` and give a ``url`` fixture that names an empty store.
"""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import pytest

from babysit.errors import StoreError
from babysit.records import CommandKind, Result, Run, State, Trial
from babysit.store import overview, queries, run_queries
from babysit.store.commands import Commands
from babysit.store.pictures import MOST_HISTOGRAMS, MOST_SNAPSHOTS
from babysit.store.points import buckets
from babysit.store.reader import Reader
from babysit.store.writer import FLUSH_READINGS, FLUSH_SECONDS, Writer
from babysit.verdicts import Verdict
from store.commands_contract import CommandsContract
from store.conftest import begin
from store.records import (
    CHECKS,
    FINDING,
    STAGE,
    VERDICT,
    complete,
    details,
    epoch_costs,
    exploded,
    feed,
    reading,
    same,
    same_verdict,
    trial,
    verdict,
)


class StoreContract(CommandsContract):
    """The tests that every store passes."""

    def test_a_study_is_there_when_begun(self, writer: Writer, reader: Reader) -> None:
        before = time.time()
        number = begin(writer)
        found = queries.study(reader, number)
        assert (found.name, found.recipe, found.kind) == ("digits <b>", "digits", "search")
        assert found.seed == 2**80 + 1
        assert found.settings == {"epochs": 5}
        assert found.state is State.RUNNING
        assert found.outcome == {}
        assert before <= found.created <= time.time()

    def test_a_finished_study_keeps_its_outcome(self, writer: Writer, reader: Reader, study: int) -> None:
        outcome = {"best": {"val": 0.5, "score": -math.inf}, "ties": [[0, 1]], "final": None, "nan": math.nan}
        writer.finish_study(study, State.COMPLETE, outcome)
        found = queries.study(reader, study)
        assert found.state is State.COMPLETE
        assert same(found.outcome, outcome)

    def test_studies_come_newest_first_and_are_found_again(self, writer: Writer, reader: Reader) -> None:
        first, second, other = begin(writer, "a"), begin(writer, "a"), begin(writer, "b")
        assert [one.id for one in queries.studies(reader)] == [other, second, first]
        found = queries.find_study(reader, "a", "search")
        assert found is not None
        assert found.id == second
        assert queries.find_study(reader, "a", "train") is None
        latest = queries.latest_study(reader)
        assert latest is not None
        assert latest.id == other
        assert queries.latest_study(reader, "train") is None

    def test_an_unknown_study_is_refused(self, writer: Writer, reader: Reader, study: int) -> None:
        with pytest.raises(StoreError, match=r"no study 99[\s\S]*\[1\]"):
            queries.study(reader, 99)
        with pytest.raises(StoreError, match="no study 99"):
            writer.reopen_study(99)
        with pytest.raises(StoreError, match="no study 99"):
            writer.finish_study(99, State.COMPLETE, {})

    def test_checks_and_stages_come_back_exactly(self, writer: Writer, reader: Reader, study: int) -> None:
        for _ in range(2):
            writer.checks(study, CHECKS)
            writer.begin_stage(study, STAGE)
        assert same(queries.checks(reader, study), CHECKS)
        assert queries.stages(reader, study) == [STAGE]

    def test_no_checks_are_no_rows(self, writer: Writer, reader: Reader, study: int) -> None:
        writer.checks(study, [])
        assert queries.checks(reader, study) == []

    def test_begun_trials_are_running(self, writer: Writer, reader: Reader, study: int) -> None:
        trials = [trial(number) for number in range(3)]
        writer.begin_trials(study, [])
        writer.begin_trials(study, trials)
        writer.begin_trials(study, trials)
        assert queries.results(reader, study) == queries.results(reader, study)
        assert [result.trial for result in queries.results(reader, study)] == trials
        assert {result.run.state for result in queries.results(reader, study)} == {State.RUNNING}

    def test_finished_runs_come_back_exactly(self, writer: Writer, reader: Reader, study: int) -> None:
        failed = Result(trial(2), Run(State.FAILED, message="out of memory in 'fc1'"))
        written = [complete(0), exploded(1), failed, complete(0, stage=1)]
        writer.finish_trials(study, written)
        assert same(queries.results(reader, study), written)

    def test_finishing_needs_no_earlier_call(self, writer: Writer, reader: Reader, study: int) -> None:
        feed(writer, study, complete(0))
        writer.finish_trials(study, [complete(0)], {(0, 0): verdict(FINDING, FINDING)})
        assert same(queries.results(reader, study), [complete(0)])
        assert same_verdict(queries.verdicts(reader, study)[0, 0], verdict(FINDING, FINDING))
        steps, costs = queries.costs(reader, study, (0, 0))
        expected = [epoch_costs(epoch) for epoch in (1, 2, 3)]
        np.testing.assert_array_equal(steps, np.concatenate([first for first, _ in expected]))
        np.testing.assert_array_equal(costs, np.concatenate([second for _, second in expected]).astype("f4"))

    def test_finishing_twice_changes_nothing(self, writer: Writer, reader: Reader, study: int) -> None:
        feed(writer, study, complete(0))
        for _ in range(2):
            writer.finish_trials(study, [complete(0)], {(0, 0): verdict(FINDING)})
        assert same(queries.results(reader, study), [complete(0)])
        assert len(queries.verdicts(reader, study)[0, 0].findings) == 1
        assert len(queries.costs(reader, study, (0, 0))[0]) == 300
        assert len(queries.run_summaries(reader, study)[0].spark) == 60

    def test_a_begun_trial_does_not_reset_a_finished_one(
        self, writer: Writer, reader: Reader, study: int
    ) -> None:
        writer.finish_trials(study, [complete(0)])
        writer.begin_trials(study, [trial(0), trial(1)])
        assert [result.run.state for result in queries.results(reader, study)] == [
            State.COMPLETE,
            State.RUNNING,
        ]

    def test_other_hyperparameters_are_refused(self, writer: Writer, study: int) -> None:
        writer.begin_trials(study, [trial(0)])
        with pytest.raises(StoreError, match="new study"):
            writer.begin_trials(study, [Trial(0, 0, {"learning_rate": 1.0})])

    def test_numpy_values_are_the_same_values(self, writer: Writer, reader: Reader, study: int) -> None:
        plain, numpy = {"rate": 0.1, "hidden": 50}, {"hidden": np.int64(50), "rate": np.float64(0.1)}
        writer.begin_trials(study, [Trial(0, 0, numpy)])
        writer.begin_trials(study, [Trial(0, 0, plain)])
        assert queries.results(reader, study)[0].trial.hyperparameters == plain

    def test_epochs_arrive_by_themselves(self, writer: Writer, reader: Reader, study: int) -> None:
        feed(writer, study, complete(0))
        deadline = time.monotonic() + 20 * FLUSH_SECONDS
        while len(queries.results(reader, study)[0].run.readings) < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        run = queries.results(reader, study)[0].run
        assert same(run.readings, complete(0).run.readings)
        assert (run.state, run.steps, run.first_cost) == (State.RUNNING, 300, 2.3)

    def test_many_epochs_do_not_wait(self, writer: Writer, reader: Reader, study: int) -> None:
        for epoch in range(1, FLUSH_READINGS + 1):
            writer.epoch(study, trial(), reading(epoch), [epoch], [1.0])
        assert len(queries.results(reader, study)[0].run.readings) == FLUSH_READINGS

    def test_a_series_grows_over_several_commits(self, writer: Writer, reader: Reader, study: int) -> None:
        for epoch in range(1, 8):
            writer.epoch(study, trial(), reading(epoch), *epoch_costs(epoch))
            writer.flush()
            writer.flush()
        steps, _ = queries.costs(reader, study, (0, 0))
        np.testing.assert_array_equal(steps, np.arange(1, 701))
        assert list(queries.all_costs(reader, study)) == [(0, 0)]

    def test_costs_keep_infinity_and_nan(self, writer: Writer, reader: Reader, study: int) -> None:
        writer.epoch(study, trial(), reading(1), [1, 2, 3, 4], [2.3, 1e300, np.nan, -np.inf])
        writer.flush()
        _, costs = queries.costs(reader, study, (0, 0))
        np.testing.assert_array_equal(costs, np.array([2.3, np.inf, np.nan, -np.inf], dtype="f4"))

    def test_details_come_back_as_they_went_in(self, writer: Writer, reader: Reader, study: int) -> None:
        for epoch in (1, 2):
            writer.details(study, trial(), details(epoch))
            writer.epoch(study, trial(), reading(epoch), *epoch_costs(epoch))
            writer.flush()
        writer.finish_trials(study, [complete(0)])
        series = queries.series_of(reader, study, (0, 0))
        assert list(series) == ["layers/0.weight/update_ratio", "layers/1/dead"]
        steps, values = series["layers/0.weight/update_ratio"]
        np.testing.assert_array_equal(steps, [51, 100, 151, 200])
        np.testing.assert_array_equal(values, np.array([1e-3, 1e-3, 2e-3, 2e-3], dtype="f4"))
        histograms = queries.histograms(reader, study, (0, 0))
        assert [one.step for one in histograms["activations/1"]] == [100, 200]
        np.testing.assert_array_equal(histograms["activations/1"][1].edges, np.float32([-0.5, 0.25, 4]))
        np.testing.assert_array_equal(histograms["activations/1"][1].counts, [7, 2])
        (first, second) = queries.snapshots(reader, study, (0, 0))["0.weight"]
        assert (first.step, second.step, first.values.dtype) == (100, 200, np.float16)
        np.testing.assert_array_equal(second.values, np.full((2, 3, 4), 2, np.float16))
        # The cost's own series is not among them, and none of it got lost.
        assert len(queries.costs(reader, study, (0, 0))[0]) == 200

    def test_the_verdict_on_an_unfinished_run_is_replaced(
        self, writer: Writer, reader: Reader, study: int
    ) -> None:
        writer.begin_trials(study, [trial(0), trial(1)])
        another = verdict(FINDING, replace(FINDING, rule="another"))
        for seen in (verdict(FINDING), Verdict(), VERDICT, another):
            writer.verdict(study, trial(1), seen)
            assert list(queries.verdicts(reader, study)) == [(0, 1)]
            assert same_verdict(queries.verdicts(reader, study)[0, 1], seen)
        writer.finish_trials(study, [complete(1)], {(0, 1): verdict(FINDING)})
        assert same_verdict(queries.verdicts(reader, study)[0, 1], verdict(FINDING))
        writer.finish_trials(study, [complete(1)])
        assert queries.verdicts(reader, study) == {}

    def test_a_verdict_comes_back_whole(self, writer: Writer, reader: Reader, study: int) -> None:
        writer.verdict(study, trial(0), VERDICT)
        assert same_verdict(run_queries.verdict(reader, study, (0, 0)), VERDICT)
        results = [complete(0), complete(1), complete(2)]
        writer.finish_trials(study, results, {(0, 0): VERDICT, (0, 2): verdict(FINDING)})
        found = queries.verdicts(reader, study)
        assert list(found) == [(0, 0), (0, 2)]
        assert same_verdict(found[0, 0], VERDICT)
        assert found[0, 0].questions == VERDICT.questions
        assert found[0, 0].health is VERDICT.health
        assert [question.rule for question in found[0, 0].unanswered] == ["dead_units", "slow_start"]
        assert [[each.rule for each in cause.symptoms] for cause in found[0, 0].causes] == [
            ["plateau", "oscillation"],
            ["slow_start"],
            [],
        ]
        assert same_verdict(found[0, 2], verdict(FINDING))
        assert run_queries.verdict(reader, study, (0, 1)) == Verdict()

    def test_causes_are_counted_without_their_symptoms(
        self, writer: Writer, reader: Reader, study: int
    ) -> None:
        writer.finish_trials(study, [complete(0), complete(1)], {(0, 0): VERDICT})
        (counted,) = overview.cause_counts(reader, study).values()
        assert counted == {"error": 1, "warning": 1, "info": 1}
        assert overview.newer_cause_counts(reader, 0) == overview.cause_counts(reader, study)

    def test_one_run_is_read_as_all_are(self, writer: Writer, reader: Reader, study: int) -> None:
        results = [complete(0), exploded(1), complete(2)]
        for result in results:
            feed(writer, study, result)
        writer.finish_trials(study, results, {(0, 1): verdict(FINDING)})
        for whole in queries.results(reader, study):
            key = whole.trial.key
            assert same(run_queries.result(reader, study, key), whole)
            of_all = queries.verdicts(reader, study).get(key, Verdict())
            assert same_verdict(run_queries.verdict(reader, study, key), of_all)
            assert run_queries.version(reader, study, key) > 0
        with pytest.raises(StoreError, match="no trial 0/9"):
            run_queries.result(reader, study, (0, 9))
        assert run_queries.version(reader, study, (0, 9)) == 0

    @pytest.mark.parametrize("ends", [(1, 5000), (300, 300), (255, 258), (0, 10**9), (5001, 6000), (9, 3)])
    def test_a_range_of_a_series_is_what_a_slow_twin_cuts(
        self, writer: Writer, reader: Reader, study: int, ends: tuple[int, int]
    ) -> None:
        steps = np.arange(1, 5001, dtype=np.int32)
        writer.costs(study, trial(0), steps, np.sin(steps))
        writer.costs(study, trial(1), steps, -steps)
        writer.flush()
        found, values = run_queries.series_between(reader, study, (0, 0), "cost", *ends)
        wanted = [step for step in steps.tolist() if ends[0] <= step <= ends[1]]
        assert found.tolist() == wanted
        np.testing.assert_array_equal(values, np.sin(np.array(wanted)).astype(np.float32))
        assert run_queries.series_names(reader, study, (0, 0)) == ["cost"]

    def test_details_are_bounded_and_spread_over_the_run(
        self, writer: Writer, reader: Reader, study: int
    ) -> None:
        count = 3 * MOST_HISTOGRAMS
        for epoch in range(1, count + 1):
            writer.details(study, trial(), details(epoch))
            if epoch % 7 == 0:
                writer.flush()
        writer.flush()
        for found, most in (
            (queries.histograms(reader, study, (0, 0))["activations/1"], MOST_HISTOGRAMS),
            (queries.snapshots(reader, study, (0, 0))["0.weight"], MOST_SNAPSHOTS),
        ):
            steps = [one.step for one in found]
            assert len(steps) == most
            assert (steps[0], steps[-1]) == (100, 100 * count)
            gaps = np.diff(steps)
            assert gaps.max() <= 4 * max(gaps.min(), 100 * count / most / 4)

    def test_details_after_the_end_change_no_verdict(
        self, writer: Writer, reader: Reader, study: int
    ) -> None:
        feed(writer, study, complete(0))
        writer.finish_trials(study, [complete(0)])
        for _ in range(2):  # a second time as after an interruption
            writer.details(study, trial(), details(1))
            writer.flush()
        assert same(queries.results(reader, study), [complete(0)])
        assert len(queries.histograms(reader, study, (0, 0))["activations/1"]) == 1

    def test_a_reopened_trial_loses_its_details(self, writer: Writer, reader: Reader, study: int) -> None:
        writer.details(study, trial(), details(1))
        writer.flush()
        writer.reopen_study(study)
        assert queries.series_of(reader, study, (0, 0)) == {}
        assert queries.histograms(reader, study, (0, 0)) == {}
        assert queries.snapshots(reader, study, (0, 0)) == {}

    def test_no_costs_are_empty(self, reader: Reader, study: int) -> None:
        steps, costs = queries.costs(reader, study, (5, 5))
        assert len(steps) == len(costs) == 0
        assert queries.all_costs(reader, study) == {}
        assert queries.verdicts(reader, study) == {}
        assert queries.results(reader, study) == []

    def test_summaries_say_what_the_run_says(self, writer: Writer, reader: Reader, study: int) -> None:
        feed(writer, study, complete(0))
        writer.finish_trials(study, [complete(0), exploded(1)])
        good, bad = queries.run_summaries(reader, study)
        assert (good.key, good.epochs, good.best_val_accuracy, good.best_score) == (
            (0, 0),
            3,
            0.1 * 3,
            0.1 * 3,
        )
        costs = np.concatenate([epoch_costs(epoch)[1] for epoch in (1, 2, 3)])
        np.testing.assert_array_equal(good.spark, buckets(costs))
        assert (bad.state, bad.best_score) == (State.EXPLODED, -math.inf)
        assert math.isnan(bad.val_accuracy)
        assert same(bad.explosion, exploded(1).run.explosion)

    def test_changes_follow_the_cursor(self, writer: Writer, reader: Reader, study: int) -> None:
        writer.begin_trials(study, [trial(0), trial(1)])
        first = queries.changes(reader, 0)
        assert [summary.key for summary in first.summaries] == [(0, 0), (0, 1)]
        assert queries.changes(reader, first.cursor) == ([], first.cursor)
        writer.epoch(study, trial(1), reading(1), [1], [2.3])
        writer.flush()
        second = queries.changes(reader, first.cursor)
        assert [summary.key for summary in second.summaries] == [(0, 1)]
        assert second.cursor > first.cursor

    def test_reopening_keeps_what_had_finished_only(self, writer: Writer, reader: Reader, study: int) -> None:
        feed(writer, study, complete(0))
        writer.finish_trials(study, [complete(0)], {(0, 0): verdict(FINDING)})
        stopped = Result(trial(1), Run(State.STOPPED, (reading(1),), 2.3, steps=100))
        feed(writer, study, stopped)
        writer.finish_trials(study, [stopped], {(0, 1): verdict(FINDING)})
        feed(writer, study, complete(2))
        writer.finish_study(study, State.STOPPED, {"advice": ["go on"]})
        writer.reopen_study(study)
        found = queries.study(reader, study)
        assert (found.state, found.outcome) == (State.RUNNING, {})
        waiting = [Result(trial(number), Run(State.WAITING)) for number in (1, 2)]
        assert same(queries.results(reader, study), [complete(0), *waiting])
        assert list(queries.all_costs(reader, study)) == [(0, 0)]
        assert list(queries.verdicts(reader, study)) == [(0, 0)]

    def test_a_reopened_trial_starts_from_its_first_step(
        self, writer: Writer, reader: Reader, study: int
    ) -> None:
        feed(writer, study, complete(0))
        writer.flush()
        writer.reopen_study(study)
        writer.begin_trials(study, [trial(0)])
        feed(writer, study, complete(0))
        writer.finish_trials(study, [complete(0)])
        assert same(queries.results(reader, study), [complete(0)])
        assert len(queries.costs(reader, study, (0, 0))[0]) == 300

    def test_reopening_an_empty_study(self, writer: Writer, reader: Reader, study: int) -> None:
        writer.reopen_study(study)
        assert queries.results(reader, study) == []

    def test_a_store_is_reopened_by_another_writer(self, writer: Writer, url: str, reader: Reader) -> None:
        first = begin(writer)
        with Writer(url) as second:
            other = begin(second)
            second.finish_trials(other, [complete(0)])
            writer.finish_trials(first, [complete(0)])
        assert len(queries.changes(reader, 0).summaries) == 2

    def test_closing_commits_and_ends(self, writer: Writer, reader: Reader, study: int) -> None:
        feed(writer, study, complete(0))
        writer.close()
        writer.close()
        assert len(queries.results(reader, study)[0].run.readings) == 3
        with pytest.raises(StoreError, match="closed"):
            feed(writer, study, complete(0))

    def test_a_clock_that_is_set_back_breaks_no_order(
        self, writer: Writer, reader: Reader, commands: Commands, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = begin(writer, "same")
        writer.begin_trials(first, [trial(0)])
        asked = [commands.ask(first, CommandKind.STOP_STUDY).id]
        commands.beat(first)
        cursor = queries.changes(reader, 0).cursor
        earlier = time.time() - 3600
        monkeypatch.setattr(time, "time", lambda: earlier)
        second = begin(writer, "same")
        writer.finish_trials(first, [complete(0)])
        asked.append(commands.ask(first, CommandKind.STOP_STUDY).id)
        assert [one.id for one in queries.studies(reader)] == [second, first]
        found = queries.find_study(reader, "same", "search")
        assert found is not None
        assert found.id == second
        assert [one.key for one in queries.changes(reader, cursor).summaries] == [(0, 0)]
        assert [one.id for one in commands.take(first)] == asked
        assert 0 <= commands.silence(first) < 10
        assert commands.expire_unanswered(first) == 0
