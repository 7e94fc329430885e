"""`babysit dashboard`: every study in a browser, live."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import webbrowser
from typing import Annotated

import typer
from rich.markup import escape

from babysit.cli.app import app, console_for
from babysit.cli.places import DEFAULT_FOLDER, OutOption, StoreOption
from babysit.errors import InputError
from babysit.session.dashboard import make_server
from babysit.store.addresses import shown, store_url


@app.command(epilog="Example: babysit dashboard --store sqlite:///babysit-runs/babysit.sqlite")
def dashboard(
    where: Annotated[
        str, typer.Argument(metavar="[STORE]", help="The store, as for --store.", show_default=False)
    ] = "",
    store: StoreOption = "",
    out: OutOption = DEFAULT_FOLDER,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="0: the first free one from 8265.", show_default=False)
    ] = 0,
    host: Annotated[
        str, typer.Option(help="The address to listen on; one beyond this machine demands a login.")
    ] = "127.0.0.1",
    opening: Annotated[bool, typer.Option("--open/--no-open", help="Open it in a browser.")] = True,
) -> None:
    """Show every study in a browser, live.

    A hundred runs at once, each with its curves and its verdict; running trials can be stopped or changed.
    """
    if where and store:
        raise InputError("two stores are named", fix="leave --store out")
    url = store_url(where or store, out)
    server = make_server(url, host, port)
    console = console_for(False)
    console.print(f"dashboard of {escape(shown(url))}", soft_wrap=True, highlight=False)
    console.print(f"  [bold]{escape(server.url)}[/bold]   Ctrl-C ends it", soft_wrap=True, highlight=False)
    if opening and _has_windows():
        webbrowser.open(server.url)
    gc.freeze()  # else freeing torch's objects, one by one, takes longer than all the rest of the end
    with contextlib.suppress(KeyboardInterrupt):  # the usual end of a server
        server.run()


def _has_windows() -> bool:
    """Tells whether a browser would open in a window; a text browser would take the terminal."""
    if "SSH_CONNECTION" in os.environ:
        return False
    graphical = "DISPLAY" in os.environ or "WAYLAND_DISPLAY" in os.environ
    return graphical or sys.platform in ("darwin", "win32")
