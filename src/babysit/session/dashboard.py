"""Starts the dashboard, in the foreground or in a separate process beside a run."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import IO, TYPE_CHECKING

from babysit.errors import InputError
from babysit.session.commands.liveness import is_interrupted

if TYPE_CHECKING:  # the web packages are an extra
    from babysit.views.dashboard.server import Server

ANNOUNCED = "dashboard: "
"""The beginning of the line on which a dashboard prints its address."""

_NICENESS = 10
_ENDING_SECONDS = 3.0


def make_server(url: str, host: str = "127.0.0.1", port: int = 0) -> Server:
    """Makes the dashboard of a store; it listens at once and replies when it is run.

    Args:
        url: the store's path or URL; it need not exist yet.
        host: the address to listen on; one beyond this machine demands a login.
        port: the port. Default: the usual one, or the next free one.

    Raises:
        InputError: the packages are not installed, or the address is not available.
    """
    try:
        from babysit.views.dashboard.server import Server, rules_for
        from babysit.views.dashboard.state import OpenStore, Serving
    except ImportError as error:
        raise InputError(
            f"the dashboard needs a package that is not installed ({error.name})",
            fix="pip install 'babysit[dashboard]'",
        ) from None
    from babysit.session.lab_cache import laboratory  # loads every experiment

    serving = Serving(OpenStore(url), rules_for(host), is_interrupted, lab=laboratory())
    return Server(serving, host, port)


@contextlib.contextmanager
def dashboard_beside(url: str, show: Callable[[str], None], *, wanted: bool = True) -> Iterator[None]:
    """Runs a dashboard in a process of low priority until the block ends.

    The run never waits for the dashboard, and no failure of the dashboard reaches it. If the run is killed,
    the pipe between them closes and the dashboard ends.

    Args:
        url: the store's path or URL.
        show: called with the dashboard's address, in a thread, once it listens.
        wanted: do nothing if False.

    Raises:
        InputError: the packages are not installed.
    """
    if not wanted:
        yield
        return
    for name in ("starlette", "uvicorn"):
        if find_spec(name) is None:
            raise InputError(
                f"the dashboard needs a package that is not installed ({name})",
                fix="pip install 'babysit[dashboard]', or leave --dashboard out",
            )
    process = subprocess.Popen(
        [sys.executable, "-m", "babysit.session.dashboard"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,  # Ctrl-C at the terminal reaches only the run, which then ends this process
    )
    assert process.stdin is not None
    with contextlib.suppress(OSError):  # the process has ended already, which does not concern the run
        print(url, file=process.stdin, flush=True)  # a command line would show it to all users of the machine
    reader = threading.Thread(target=_show_address, args=(process, show), daemon=True)
    reader.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(timeout=_ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join(timeout=1)


def _show_address(process: subprocess.Popen[str], show: Callable[[str], None]) -> None:
    assert process.stdout is not None
    with process.stdout as printed:
        for line in printed:
            if line.startswith(ANNOUNCED):
                show(line.strip())


def _serve_until_closed(url: str, pipe: IO[str]) -> None:
    """Serves until the other end of the pipe is closed."""
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    server = make_server(url)
    print(f"{ANNOUNCED}{server.url}", flush=True)

    def stop_when_closed() -> None:
        pipe.read()
        server.stop()

    threading.Thread(target=stop_when_closed, daemon=True).start()
    server.run()


if __name__ == "__main__":
    _serve_until_closed(sys.stdin.readline().rstrip("\n"), sys.stdin)
