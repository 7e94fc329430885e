"""The address of a store without its password, to be shown or copied."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

USUAL_FOLDER = "babysit-runs"
"""The default folder of reports, weights and the store."""

STARS = "***"
"""The text shown in the place of a password; given as a password, it means none."""

PASSWORD_PLACE = "the password in PGPASSWORD or ~/.pgpass"
"""The places where PostgreSQL's driver finds a password that an address leaves out."""

_IN_FRONT = re.compile(r"(?<=://)([^:/@]*):([^@]*)@")
_BEHIND = re.compile(r"([?&])((?:ssl)?password)=([^&\s]*)", re.IGNORECASE)


def store_in(folder: str | Path) -> str:
    """Returns the address of a folder's own store.

    Example:
        >>> store_in("babysit-runs")
        'sqlite:///babysit-runs/babysit.sqlite'
    """
    return f"sqlite:///{Path(folder) / 'babysit.sqlite'}"


def store_url(store: str, folder: str | Path = USUAL_FOLDER) -> str:
    """Returns the store that a user named: a database URL or a path, else a SQLite file in the folder.

    Example:
        >>> store_url("runs.sqlite"), store_url("", "out")
        ('runs.sqlite', 'sqlite:///out/babysit.sqlite')
    """
    return store or store_in(folder)


def shown(text: str) -> str:
    """Replaces the password of every address in a text by stars.

    Args:
        text: an address, which may be malformed, or a text that contains addresses.

    Example:
        >>> shown("postgresql+psycopg://ann:secret@host/runs"), shown("runs.sqlite")
        ('postgresql+psycopg://ann:***@host/runs', 'runs.sqlite')
        >>> shown("postgresql+psycopg:///runs?user=ann&password=secret&host=/tmp")
        'postgresql+psycopg:///runs?user=ann&password=***&host=/tmp'
    """
    return _BEHIND.sub(rf"\1\2={STARS}", _IN_FRONT.sub(rf"\1:{STARS}@", text))


def without_password(text: str) -> str:
    """Removes the password of every address in a text: the driver then reads PGPASSWORD and ~/.pgpass.

    Example:
        >>> without_password("postgresql+psycopg://ann:secret@host/runs")
        'postgresql+psycopg://ann@host/runs'
        >>> without_password("postgresql+psycopg:///runs?password=secret&host=/tmp")
        'postgresql+psycopg:///runs?host=/tmp'
    """
    return _without(text, lambda _: True)


def without_stars(text: str) -> str:
    """Removes stars in the place of a password, from an address that was copied from a page.

    Example:
        >>> without_stars("postgresql+psycopg://ann:***@host/runs")
        'postgresql+psycopg://ann@host/runs'
        >>> without_stars("postgresql+psycopg://ann:secret@host/runs")
        'postgresql+psycopg://ann:secret@host/runs'
    """
    return _without(text, lambda password: password == STARS)


def _without(text: str, wanted: Callable[[str], bool]) -> str:
    left = _IN_FRONT.sub(lambda found: f"{found[1]}@" if wanted(found[2]) else found[0], text)
    cut = _BEHIND.sub(lambda found: found[1] if wanted(found[3]) else found[0], left)
    return cut if cut == left else cut.replace("?&", "?").replace("&&", "&").rstrip("?&")
