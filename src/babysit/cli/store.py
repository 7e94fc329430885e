"""`babysit store`: migrates, verifies and compacts a store."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from babysit.cli.app import JsonOption, app, console_for, emit
from babysit.cli.places import DEFAULT_FOLDER, OutOption, StoreOption
from babysit.session.jobs.stale_checkpoints import KEEP_DAYS, prune_checkpoints
from babysit.store import compacting, verifying
from babysit.store.addresses import store_url
from babysit.store.reader import Reader

store_app = typer.Typer(help="Migrate, verify or compact a store.", no_args_is_help=True)
app.add_typer(store_app, name="store")


@store_app.command(epilog="Example: babysit store migrate --store runs.sqlite")
def migrate(
    store: StoreOption = "",
    out: OutOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Upgrade a store to the current schema.

    Any command that writes to an older store does so automatically.
    """
    from babysit.store.migrating import migrate as migrated  # loads Alembic, which only this command needs

    done = migrated(store_url(store, out))
    console = console_for(as_json)
    if not done.steps:
        console.print(f"the store has schema {done.after}, the current one: nothing to do")
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
    """Verify the integrity of a store.

    Checked are the file, every reference, every summary and every series.

    Exit code 1 when something is wrong.
    """
    url = store_url(store, out)
    with Reader(url) as reader:
        wrong, counted = verifying.verify(reader), verifying.counts(reader)
    console = console_for(as_json)
    counts = ", ".join(f"{name} {count:,}" for name, count in counted.items())
    console.print(f"{'[green]whole[/green]' if not wrong else f'[red]{len(wrong)} faults[/red]'}: {counts}")
    for fault in wrong:
        console.print(f"  {escape(fault)}", soft_wrap=True, highlight=False)
    if wrong:
        fix = "babysit store compact drops orphan rows; restore damaged data from a backup"
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
    """Free disk space.

    Orphan rows are dropped, the store is rewritten, and old checkpoints are deleted.
    """
    done = compacting.compact(store_url(store, out))
    pruned = prune_checkpoints(out, keep_days)
    console = console_for(as_json)
    console.print(f"{_mib(done.before)} → {_mib(done.after)}; {done.orphans} orphan rows dropped")
    for path in pruned:
        console.print(f"deleted {escape(str(path))}", soft_wrap=True)
    if as_json:
        emit({**done._asdict(), "deleted": [str(path) for path in pruned]})


def _mib(size: int) -> str:
    return f"{size / 2**20:.1f} MiB"
