"""Starting and stopping the web server: in the foreground, or beside something else in a thread."""

from __future__ import annotations

import errno
import ipaddress
import logging
import os
import socket
import threading
from types import TracebackType
from typing import Self

import uvicorn

from babysit.errors import InputError
from babysit.views.dashboard.app import create_app
from babysit.views.dashboard.security import LOGIN_PARAMETER, LOOPBACK_NAMES, RequestRules, new_token
from babysit.views.dashboard.state import Serving

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8265
PORTS_TRIED = 20
"""The number of ports that are tried, from the default one on."""


class _ProperRequests(logging.Filter):
    """A log filter that drops complaints about malformed requests, as port scanners send them.

    A request that proves malformed while it is answered ends in an error of the protocol. Every other error
    in an answer is a fault of the dashboard, and is logged with its traceback.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        ours = error is not None and type(error).__name__ not in ("LocalProtocolError", "RemoteProtocolError")
        return ours or (error is None and not record.getMessage().startswith(_OF_REQUESTS))


_OF_REQUESTS = ("Invalid HTTP request", "Unsupported upgrade request", "No supported WebSocket library")
_PROPER = _ProperRequests()


def rules_for(host: str) -> RequestRules:
    """Returns the rules for requests to an address: beyond this machine a login is required.

    Example:
        >>> rules_for("127.0.0.1").login
        ''
        >>> len(rules_for("0.0.0.0").login) > 20
        True
    """
    if is_loopback(host):
        return RequestRules()
    names = {host.lower(), socket.gethostname().lower(), socket.getfqdn().lower(), *LOOPBACK_NAMES}
    return RequestRules(login=new_token(), names=frozenset(names), any_address=True)


def is_loopback(host: str) -> bool:
    """Returns True for an address that only this machine can reach."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def listen(host: str, port: int) -> socket.socket:
    """Opens a listening socket.

    Args:
        host: the address.
        port: 0 takes the default port, or the next free one after it.

    Raises:
        InputError: the port is taken, or the address is not one of this machine.
    """
    if port:
        return _bound(host, port)
    for tried in range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TRIED):
        try:
            return _bound(host, tried)
        except InputError as error:
            if not isinstance(error.__cause__, OSError) or error.__cause__.errno != errno.EADDRINUSE:
                raise
    return _bound(host, 0)


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen(128)
    except (OSError, OverflowError) as error:
        made.close()
        raise InputError(
            f"cannot listen on {host}, port {port}: {error}",
            fix="choose another --port, or leave it out; --host is an address of this machine",
        ) from error
    return made


class Server:
    """A dashboard that listens; it answers while :meth:`run` runs, or as a context manager in a thread.

    Args:
        serving: the store, the rules for requests, and what only the starting process knows.
        host: the address to listen on. Default: this machine alone.
        port: Default: 0, the usual port or the next free one.

    Attributes:
        port: the port that it listens on.

    Raises:
        InputError: it cannot listen there.
    """

    def __init__(self, serving: Serving, host: str = DEFAULT_HOST, port: int = 0) -> None:
        self._serving = serving
        self._host = host
        self._socket = listen(host, port)
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            create_app(serving),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        logging.getLogger("uvicorn.error").addFilter(_PROPER)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self.run, name="babysit-dashboard", daemon=True)

    @property
    def url(self) -> str:
        """The address to open, with the login where one is required."""
        wildcard = self._host in ("0.0.0.0", "::")
        name = socket.gethostname() if wildcard else self._host
        login = self._serving.rules.login
        host = f"[{name}]" if ":" in name else name
        return f"http://{host}:{self.port}/" + (f"?{LOGIN_PARAMETER}={login}" if login else "")

    def run(self) -> None:
        """Answers until :meth:`stop`, or until Ctrl-C where this is the main thread."""
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._socket.close()
            self._serving.store.close()
            self._serving.lab.close()

    def stop(self) -> None:
        """Ends :meth:`run`, within a second."""
        self._server.should_exit = True

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._thread.join(timeout=5)
