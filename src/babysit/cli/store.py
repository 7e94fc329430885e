"""`babysit store`: bringing a store up to date, proving that it is whole, giving back its room."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from babysit.cli.app import JsonOption, app, console_for, emit
from babysit.cli.places import DEFAULT_FOLDER, OutOption, StoreOption, store_url
from babysit.session.jobs.stale_checkpoints import KEEP_DAYS, prune_checkpoints
from babysit.store import compacting, verifying
from babysit.store.reader import Reader

store_app = typer.Typer(help="Migrate, verify or compact a store.", no_args_is_help=True)
app.add_typer(store_app, name="store")


@store_app.command(epilog="Example: babysit store migrate --store runs.sqlite")
def migrate(
    store: StoreOption = "",
    out: OutOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Bring a store that an older babysit wrote to today's schema; whoever writes does so by itself."""
    from babysit.store.migrating import migrate as migrated  # Alembic, which nothing else should wait for

    done = migrated(store_url(store, out))
    console = console_for(as_json)
    if not done.steps:
        console.print(f"the store has schema {done.after}, which is today's: nothing to do")
    else:
        console.print(f"schema {done.before} → {done.after}")
    for step in done.steps:
        console.print(f"  + {escape(step)}", soft_wrap=True)
    if as_json:
        emit(done._asdict())


@store_app.command(epilog="Example: babysit store verify --store postgresql+psycopg://ann@host/runs")
def verify(
    store: StoreOption = "",
    out: OutOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Prove that a store is whole: the file, every reference, every summary, every series.

    Exit code 1 when something is wrong.
    """
    url = store_url(store, out)
    with Reader(url) as reader:
        wrong, counted = verifying.verify(reader), verifying.counts(reader)
    console = console_for(as_json)
    told = ", ".join(f"{name} {count:,}" for name, count in counted.items())
    console.print(f"{'[green]whole[/green]' if not wrong else f'[red]{len(wrong)} faults[/red]'}: {told}")
    for fault in wrong:
        console.print(f"  {escape(fault)}", soft_wrap=True, highlight=False)
    if wrong:
        fix = "babysit store compact drops rows that belong to nothing; what is damaged comes from a backup"
        console.print(f"fix: {fix}", soft_wrap=True)
    if as_json:
        emit({"whole": not wrong, "faults": wrong, **counted})
    raise typer.Exit(1 if wrong else 0)


@store_app.command(epilog="Example: babysit store compact --keep-days 7")
def compact(
    store: StoreOption = "",
    out: OutOption = DEFAULT_FOLDER,
    keep_days: Annotated[
        float, typer.Option(min=0, help="Delete the checkpoints of interrupted trainings older than this.")
    ] = KEEP_DAYS,
    as_json: JsonOption = False,
) -> None:
    """Give back room: drop rows that belong to nothing, rewrite the store, delete old checkpoints."""
    done = compacting.compact(store_url(store, out))
    pruned = prune_checkpoints(out, keep_days)
    console = console_for(as_json)
    console.print(f"{_mib(done.before)} → {_mib(done.after)}; {done.orphans} rows belonged to nothing")
    for path in pruned:
        console.print(f"deleted {escape(str(path))}", soft_wrap=True)
    if as_json:
        emit({**done._asdict(), "deleted": [str(path) for path in pruned]})


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
