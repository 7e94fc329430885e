"""The command line on a store on a server, as a user types it."""

from __future__ import annotations

import shlex
from collections.abc import Callable

import pytest
from sqlalchemy import NullPool, create_engine, make_url

from babysit.session.commands.liveness import PROCESS, this_process
from babysit.store import queries
from babysit.store.reader import Reader
from babysit.store.schema import metadata
from babysit.store.writer import Writer
from cli.conftest import Answer
from cli.conftest import babysit as babysit

SMALL = ("digits", "--stages", "coarse:4x2,final:1x2", "--population", "4", "--workers", "1")


@pytest.mark.slow
def test_a_search_on_a_server_from_its_beginning_to_its_report(
    babysit: Callable[..., Answer], postgres_url: str
) -> None:
    secret, told = make_url(postgres_url).password or "s3cr3t", []
    here = ("--store", make_url(postgres_url).set(password=secret).render_as_string(hide_password=False))
    run, babysit = babysit, lambda *words: told.append(run(*words)) or told[-1]
    begun = babysit("search", *SMALL, *here, "--json")
    assert begun.code == 0, begun.err
    study = begun.data["study"]
    assert "digits" in babysit("runs", *here).out
    assert babysit("show", study, *here, "--json").code == 0
    assert babysit("show", f"{study}/best", *here).code == 0
    assert babysit("report", study, *here, "--json").data["study"] == study
    assert babysit("stop", study, *here).code == 2  # it has ended
    extended = babysit("search", *SMALL, *here, "--trials", 6, "--resume", "--json")
    assert extended.code == 0, extended.err
    assert extended.data["study"] == study
    with Reader(postgres_url) as reader:
        assert len(queries.results(reader, study)) == 6
    whole = babysit("store", "verify", *here)
    assert (whole.code, whole.out[:5]) == (0, "whole")
    assert babysit("store", "migrate", *here).code == 0
    assert babysit("store", "compact", *here).code == 0
    with Writer(postgres_url) as writer:
        writer.reopen_study(study)
        writer.note_study(study, {PROCESS: {**this_process(), "started": "before"}})
    interrupted = babysit("runs", *here).out
    assert "resume, with the password in PGPASSWORD or ~/.pgpass, with: babysit search" in interrupted
    again = babysit(*shlex.split(interrupted.partition("with: babysit ")[2]), "--json")
    assert (again.code, again.data["study"]) == (0, study)
    assert not any(secret in text for answer in told for text in (answer.out, answer.err))
    assert secret not in everything(postgres_url)


def everything(url: str) -> str:
    """All that a store holds, as text."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        rows = [connection.execute(table.select()).all() for table in metadata.sorted_tables]
    engine.dispose()
    return repr(rows)


@pytest.mark.slow
def test_a_server_that_is_not_there_is_told_without_a_traceback(babysit: Callable[..., Answer]) -> None:
    for command in (("search", *SMALL), ("runs",), ("store", "verify")):
        answer = babysit(*command, "--store", "postgresql+psycopg://ann:secret@127.0.0.1:1/runs")
        assert answer.code == 2
        assert "cannot be reached" in answer.err
        assert "secret" not in answer.err
