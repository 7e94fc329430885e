"""`babysit report`: a study as one HTML file."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.markup import escape

from babysit.cli.app import JsonOption, app, console_for, emit
from babysit.cli.places import DEFAULT_FOLDER, OutOption, StoreOption
from babysit.errors import InputError
from babysit.session.jobs.job import file_stem
from babysit.store import queries
from babysit.store.addresses import shown, store_url
from babysit.store.reader import Reader
from babysit.views.data.study import load_study_view
from babysit.views.html.report import write_report


@app.command(epilog="Example: babysit report 3 --out reports")
def report(
    study: Annotated[int | None, typer.Argument(help="The study's number; default the newest.")] = None,
    store: StoreOption = "",
    out: OutOption = DEFAULT_FOLDER,
    as_json: JsonOption = False,
) -> None:
    """Write a study's report as one HTML file.

    The file needs nothing else: no request goes out.
    """
    url = store_url(store, out)
    with Reader(url) as reader:
        found = queries.latest_study(reader) if study is None else queries.study(reader, study)
    if found is None:
        raise InputError(
            f"the store {shown(url)} holds no study", fix="run `babysit demo` or `babysit search` first"
        )
    path = out / f"{file_stem(found.name, found.id, found.fingerprint)}.html"
    write_report(load_study_view(url, found.id), path)
    console_for(as_json).print(f"report: {escape(str(path))}", soft_wrap=True)
    if as_json:
        emit({"study": found.id, "report": str(path)})
