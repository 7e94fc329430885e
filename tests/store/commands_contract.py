"""What every store must do with requests to live runs, whatever database is behind it."""

from __future__ import annotations

import math
import re
import time
from threading import Thread

import pytest

from babysit.errors import InputError, StoreError
from babysit.records import Command, CommandKind, CommandState, Result, Run, State, Touch
from babysit.store import queries
from babysit.store.commands import SILENT_SECONDS, Commands, commands_of, silence
from babysit.store.reader import Reader
from babysit.store.writer import Writer
from store.conftest import begin
from store.records import complete, feed, let_pass, reading, same, trial

STOP, SCALE = CommandKind.STOP, CommandKind.SCALE_LEARNING_RATE
STOP_STUDY, EXTEND = CommandKind.STOP_STUDY, CommandKind.EXTEND_STUDY
HALVED, STOPPED = Touch(SCALE, 120, 0.5), Touch(STOP, 150)


class CommandsContract:
    """A request is taken once, answered in order, and never lost without a word."""

    def test_a_request_is_asked_seen_and_applied(
        self, writer: Writer, reader: Reader, commands: Commands, study: int
    ) -> None:
        writer.begin_trials(study, [trial(7)])
        before = time.time()
        asked = commands.ask(study, SCALE, trial=(0, 7), argument=0.5, by="ann <b>")
        assert (asked.study, asked.trial, asked.kind, asked.argument) == (study, (0, 7), SCALE, 0.5)
        assert (asked.by, asked.state, asked.step, asked.detail) == ("ann <b>", CommandState.ASKED, 0, "")
        assert before <= asked.asked <= time.time()
        assert math.isnan(asked.answered)
        assert same(commands_of(reader, study), [asked])
        [seen] = commands.take(study)
        assert (seen.id, seen.state, seen.argument) == (asked.id, CommandState.SEEN, 0.5)
        commands.applied(seen.id, step=1200, detail="learning rate 1e-3 -> 5e-4 at step 1200")
        done = commands.find(asked.id)
        assert (done.state, done.step) == (CommandState.APPLIED, 1200)
        assert done.detail == "learning rate 1e-3 -> 5e-4 at step 1200"
        assert done.asked <= done.answered <= time.time()
        assert asked.version < seen.version < done.version

    def test_requests_are_taken_once_and_in_order(
        self, writer: Writer, commands: Commands, study: int
    ) -> None:
        other = begin(writer, "other")
        writer.begin_trials(study, [trial(0), trial(1)])
        asked = [
            commands.ask(study, SCALE, trial=(0, 1), argument=0.1),
            commands.ask(study, STOP, trial=(0, 0)),
            commands.ask(study, EXTEND, argument=40),
            commands.ask(study, STOP_STUDY),
        ]
        commands.ask(other, STOP_STUDY)
        assert [one.id for one in commands.take(study)] == [one.id for one in asked]
        assert commands.take(study) == []

    def test_two_listeners_never_take_the_same(
        self, writer: Writer, url: str, commands: Commands, study: int
    ) -> None:
        asked = {commands.ask(study, STOP_STUDY).id for _ in range(20)}
        taken: list[list[Command]] = [[], []]

        def listen(mine: list[Command]) -> None:
            with Commands(url) as other:
                for _ in range(10):
                    mine += other.take(study)

        threads = [Thread(target=listen, args=(mine,)) for mine in taken]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = [one.id for mine in taken for one in mine]
        assert len(found) == len(set(found)) == 20
        assert set(found) == asked

    def test_an_answer_is_given_once(self, commands: Commands, study: int) -> None:
        first, second = (commands.ask(study, STOP_STUDY).id for _ in range(2))
        commands.applied(first, step=3)  # nobody has taken it yet: what is applied was seen
        assert commands.find(first).state is CommandState.ASKED
        commands.take(study)
        commands.refused(first, "the last stage has begun")
        commands.applied(first, step=3)
        commands.expired(first, "too late")
        refused = commands.find(first)
        assert (refused.state, refused.detail) == (CommandState.REFUSED, "the last stage has begun")
        commands.applied(second, step=3)
        commands.refused(second, "no")
        commands.applied(second, step=4)
        assert (commands.find(second).state, commands.find(second).step) == (CommandState.APPLIED, 3)

    def test_versions_share_the_summaries_cursor(
        self, writer: Writer, reader: Reader, commands: Commands, study: int
    ) -> None:
        writer.begin_trials(study, [trial(0)])
        cursor = queries.changes(reader, 0).cursor
        asked = commands.ask(study, STOP, trial=(0, 0))
        assert asked.version > cursor
        [seen] = commands.take(study)
        assert seen.version > asked.version
        assert commands_of(reader, study) == [seen]
        assert seen.state is CommandState.SEEN
        writer.finish_trials(study, [complete(0)])
        assert queries.changes(reader, seen.version).summaries[0].key == (0, 0)

    def test_the_requests_of_one_trial(
        self, writer: Writer, reader: Reader, commands: Commands, study: int
    ) -> None:
        writer.begin_trials(study, [trial(0), trial(1)])
        commands.ask(study, STOP, trial=(0, 0))
        mine = commands.ask(study, STOP, trial=(0, 1))
        commands.ask(study, STOP_STUDY)
        assert [one.id for one in commands_of(reader, study, trial=(0, 1))] == [mine.id]
        assert len(commands_of(reader, study)) == 3

    @pytest.mark.parametrize("state", [State.COMPLETE, State.STOPPED, State.FAILED])
    def test_a_study_that_has_ended_is_not_asked(
        self, writer: Writer, commands: Commands, study: int, state: State
    ) -> None:
        writer.finish_study(study, state, {})
        with pytest.raises(InputError, match=rf"{study} is {state}[\s\S]*--resume"):
            commands.ask(study, STOP_STUDY)

    def test_a_run_that_has_ended_is_not_asked(self, writer: Writer, commands: Commands, study: int) -> None:
        writer.finish_trials(study, [complete(0)])
        with pytest.raises(InputError, match=r"is complete[\s\S]*running trial"):
            commands.ask(study, STOP, trial=(0, 0))

    def test_what_is_no_request_is_refused(self, writer: Writer, commands: Commands, study: int) -> None:
        writer.begin_trials(study, [trial(0)])
        for factor in (0.0, -1.0, math.inf, math.nan):
            with pytest.raises(InputError, match="factor above 0"):
                commands.ask(study, SCALE, trial=(0, 0), argument=factor)
        for count in (0, 2.5, math.nan):
            with pytest.raises(InputError, match="whole number"):
                commands.ask(study, EXTEND, argument=count)
        with pytest.raises(InputError, match="takes no number"):
            commands.ask(study, STOP, trial=(0, 0), argument=3)
        with pytest.raises(InputError, match="one trial"):
            commands.ask(study, STOP)
        with pytest.raises(InputError, match="whole study"):
            commands.ask(study, STOP_STUDY, trial=(0, 0))
        with pytest.raises(StoreError, match="no trial 0/9"):
            commands.ask(study, STOP, trial=(0, 9))
        with pytest.raises(StoreError, match="no study 99"):
            commands.ask(99, STOP_STUDY)
        assert commands.take(study) == []

    def test_what_a_run_did_not_answer_expires_at_its_end(
        self, writer: Writer, commands: Commands, study: int
    ) -> None:
        writer.begin_trials(study, [trial(0), trial(1)])
        seen = commands.ask(study, STOP, trial=(0, 0)).id
        commands.take(study)
        asked = commands.ask(study, SCALE, trial=(0, 0), argument=2).id
        other = commands.ask(study, STOP, trial=(0, 1)).id
        whole = commands.ask(study, EXTEND, argument=9).id
        writer.finish_trials(study, [complete(0)])
        assert {commands.find(one).state for one in (seen, asked)} == {CommandState.EXPIRED}
        assert commands.find(seen).detail == "the run had ended"
        assert {commands.find(one).state for one in (other, whole)} == {CommandState.ASKED}
        writer.finish_study(study, State.STOPPED, {})
        assert {commands.find(one).state for one in (other, whole)} == {CommandState.EXPIRED}
        assert commands.find(whole).detail == "the study had ended"
        assert not math.isnan(commands.find(whole).answered)

    def test_answers_stay_as_they_are_at_the_end(
        self, writer: Writer, commands: Commands, study: int
    ) -> None:
        number = commands.ask(study, EXTEND, argument=9).id
        commands.take(study)
        commands.refused(number, "the next stage has begun")
        before = commands.find(number)
        writer.finish_study(study, State.COMPLETE, {})
        assert same(commands.find(number), before)

    def test_a_killed_process_leaves_nothing_to_apply(
        self, writer: Writer, url: str, commands: Commands, study: int
    ) -> None:
        writer.begin_trials(study, [trial(0)])
        seen = commands.ask(study, SCALE, trial=(0, 0), argument=0.5).id
        commands.take(study)
        asked = commands.ask(study, STOP, trial=(0, 0)).id
        with Writer(url) as resumed:  # the first process is gone, between seen and applied
            resumed.reopen_study(study)
            assert commands.take(study) == []
            for number in (seen, asked):
                assert commands.find(number).state is CommandState.EXPIRED
                assert "the process" in commands.find(number).detail

    def test_a_restarted_run_says_what_it_lost(self, writer: Writer, commands: Commands, study: int) -> None:
        feed(writer, study, complete(0))
        writer.finish_trials(study, [complete(1)])
        number = commands.ask(study, SCALE, trial=(0, 0), argument=0.5).id
        commands.take(study)
        commands.applied(number, step=120)
        for _ in range(2):
            writer.reopen_study(study)
        found = commands.find(number)
        assert (found.state, found.step) == (CommandState.APPLIED, 120)
        assert found.detail == "applied at step 120; the run restarted since, without it"

    def test_touches_come_back_with_their_run(self, writer: Writer, reader: Reader, study: int) -> None:
        run = Run(State.COMPLETE, (reading(1),), 2.3, steps=100, touches=(HALVED, Touch(SCALE, 130, 2.0)))
        written = [complete(0), Result(trial(1), run)]
        for _ in range(2):
            writer.finish_trials(study, written)
        assert same(queries.results(reader, study), written)
        assert [result.run.is_touched for result in queries.results(reader, study)] == [False, True]

    def test_a_run_that_the_user_stopped_stays_stopped(
        self, writer: Writer, reader: Reader, study: int
    ) -> None:
        by_user = Result(trial(0), Run(State.STOPPED, (reading(1),), 2.3, steps=150, touches=(STOPPED,)))
        half_way = Result(trial(1), Run(State.STOPPED, (reading(1),), 2.3, steps=150, touches=(HALVED,)))
        writer.finish_trials(study, [by_user, half_way])
        writer.finish_study(study, State.STOPPED, {})
        writer.reopen_study(study)
        writer.begin_trials(study, [trial(0), trial(1)])
        found = queries.results(reader, study)
        assert same(found[0], by_user)
        assert same(found[1], Result(trial(1), Run(State.RUNNING)))
        assert [result.run.is_final for result in found] == [True, False]

    def test_a_heartbeat_tells_who_listens(
        self, reader: Reader, commands: Commands, study: int, url: str
    ) -> None:
        assert math.isnan(commands.silence(study))
        for _ in range(2):
            commands.beat(study)
        assert 0 <= silence(reader, study) < 10
        let_pass(url, 42)
        assert 42 <= commands.silence(study) < 52

    def test_a_request_that_no_process_receives_expires(
        self, commands: Commands, study: int, url: str
    ) -> None:
        commands.beat(study)
        first, second = (commands.ask(study, STOP_STUDY).id for _ in range(2))
        assert commands.expire_unanswered(study) == 0
        let_pass(url, SILENT_SECONDS + 12)
        assert commands.expire_unanswered(study) == 2
        assert commands.expire_unanswered(study) == 0
        assert re.match(r"no process answered: no heartbeat for 4\d s", commands.find(first).detail)
        assert commands.find(second).state is CommandState.EXPIRED
        assert commands.take(study) == []

    def test_a_request_to_one_that_listens_waits(self, commands: Commands, study: int, url: str) -> None:
        number = commands.ask(study, STOP_STUDY).id
        let_pass(url, 1000)
        commands.beat(study)
        assert commands.expire_unanswered(study) == 0
        assert commands.find(number).state is CommandState.ASKED

    def test_where_no_heart_ever_beat_a_request_expires_too(
        self, commands: Commands, study: int, url: str
    ) -> None:
        number = commands.ask(study, STOP_STUDY).id
        let_pass(url, SILENT_SECONDS + 1)
        commands.expire_unanswered(study)
        assert commands.find(number).detail == "no process answered: no heartbeat so far"

    def test_what_happened_outdoes_what_was_believed(self, commands: Commands, study: int, url: str) -> None:
        number = commands.ask(study, STOP_STUDY).id
        commands.take(study)
        let_pass(url, 1000)  # the machine slept
        assert commands.expire_unanswered(study) == 1
        commands.applied(number, step=7)
        assert (commands.find(number).state, commands.find(number).step) == (CommandState.APPLIED, 7)
