"""Starting the dashboard: in the foreground, or beside a run in a process of its own that cannot slow it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING

from babysit.errors import InputError
from babysit.session.commands.liveness import is_interrupted

if TYPE_CHECKING:  # the web packages are an extra
    from babysit.views.dashboard.server import Server

ANNOUNCED = "dashboard: "
"""How the line begins on which a dashboard says its address."""

_NICENESS = 10
_ENDING_SECONDS = 3.0


def make_server(url: str, host: str = "127.0.0.1", port: int = 0) -> Server:
    """A dashboard of a store that listens, and answers once it is run.

    Args:
        url: the store's path or URL; it need not exist yet.
        host: the address to listen on; one beyond this machine demands a login.
        port: 0 takes the usual port or the next free one.

    Raises:
        InputError: the packages are not installed, or it cannot listen there.
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
def dashboard_beside(url: str, tell: Callable[[str], None], *, wanted: bool = True) -> Iterator[None]:
    """A dashboard while something runs: another process, of low priority, that ends with this block.

    Whatever becomes of it, the run does not notice: nobody waits for it. Its pipe closes even if the run is
    killed, upon which it ends.

    Args:
        url: the store's path or URL.
        tell: called with its address, in a thread, once it listens.
        wanted: do nothing if False.

    Raises:
        InputError: the packages are not installed.
    """
    if not wanted:
        yield
        return
    _require_packages()
    process = _start(url)
    teller = threading.Thread(target=_tell_address, args=(process, tell), daemon=True)
    teller.start()
    try:
        yield
    finally:
        _end(process)
        teller.join(timeout=1)


def _require_packages() -> None:
    from importlib.util import find_spec

    for name in ("starlette", "uvicorn"):
        if find_spec(name) is None:
            raise InputError(
                f"the dashboard needs a package that is not installed ({name})",
                fix="pip install 'babysit[dashboard]', or leave --dashboard out",
            )


def _start(url: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "babysit.session.dashboard"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        # Ctrl-C at the terminal is meant for the run, which ends this when it has ended itself.
        start_new_session=True,
    )
    assert process.stdin is not None
    with contextlib.suppress(OSError):  # it has ended already, which the run does not notice
        print(url, file=process.stdin, flush=True)  # every user of a machine may read its command lines
    return process


def _tell_address(process: subprocess.Popen[str], tell: Callable[[str], None]) -> None:
    assert process.stdout is not None
    with process.stdout as said:
        for line in said:
            if line.startswith(ANNOUNCED):
                tell(line.strip())


def _end(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(OSError):
        if process.stdin is not None:
            process.stdin.close()
    try:
        process.wait(timeout=_ENDING_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _serve_until_closed(url: str, lifeline: IO[str]) -> None:
    """Serves until nobody holds the other end of the lifeline any more."""
    if hasattr(os, "nice"):
        os.nice(_NICENESS)
    server = make_server(url)
    print(f"{ANNOUNCED}{server.url}", flush=True)

    def watch() -> None:
        lifeline.read()
        server.stop()

    threading.Thread(target=watch, daemon=True).start()
    server.run()


if __name__ == "__main__":
    _serve_until_closed(sys.stdin.readline().rstrip("\n"), sys.stdin)
