"""A password is neither shown nor copied into a command, and PostgreSQL's driver finds it elsewhere."""

from __future__ import annotations

import pytest
from sqlalchemy import Engine

from babysit.errors import StoreError
from babysit.store.addresses import shown, without_password
from babysit.store.engine import locate, open_engine

SECRET = (
    "postgresql+psycopg://ann:secret@host/runs",
    "postgresql://ann:secret@host:5432/runs?sslmode=require",
    "postgresql+psycopg://ann:se:cr/secret%40@[::1]/runs",
    "postgresql+psycopg:///runs?host=/tmp&user=ann&password=secret",
    "postgresql+psycopg://ann@host/runs?sslpassword=secret&sslmode=require",
    "optuna:postgresql://ann:secret@host/optuna:mine",
    "--store=postgresql+psycopg://ann:secret@host/runs",
    "postgresql+psycopg://ann:secret@host:port/runs",
)


@pytest.mark.parametrize("text", SECRET)
def test_a_password_is_hidden_and_nothing_else(text: str) -> None:
    for hidden in (shown(text), without_password(text)):
        assert "secret" not in hidden
        for kept in ("ann", "host", "runs", "optuna", "mine", "sslmode=require", "--store="):
            assert (kept in text) == (kept in hidden)
    assert "***" in shown(text)


@pytest.mark.parametrize(
    "text", ["runs.db", "sqlite:////tmp/a:b@c.db", "postgresql+psycopg://ann@host/runs", "a?&b", "x && y?"]
)
def test_what_has_no_password_stays_as_it_is(text: str) -> None:
    assert (shown(text), without_password(text)) == (text, text)


def asked(engine: Engine) -> dict[str, object]:
    """What the driver is asked to connect with."""
    told = dict(engine.dialect.create_connect_args(engine.url)[1])
    return {name: told[name] for name in ("host", "user", "dbname", "password") if name in told}


def test_a_hidden_password_is_none_so_that_the_driver_looks_for_it() -> None:
    address = "postgresql+psycopg://ann:secret@host/runs"
    for hidden in (shown(address), without_password(address)):
        assert asked(open_engine(locate(hidden), read_only=True)) == {
            "host": "host",
            "user": "ann",
            "dbname": "runs",
        }
    assert asked(open_engine(locate(address), read_only=True))["password"] == "secret"


def test_an_address_that_cannot_be_read_is_told_without_its_password() -> None:
    with pytest.raises(StoreError, match=r"ann:\*\*\*@host:port/runs' is not a store's address"):
        locate("postgresql+psycopg://ann:secret@host:port/runs")
