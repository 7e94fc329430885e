"""The numbers in the path and the query of a request, each checked before anything is read."""

from __future__ import annotations

from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request

LARGEST = 2**53
"""No number in a request is larger: scripts could not hold it."""


class _RowConvertor(Convertor[int]):
    """The number of a row in a path; it has at most nine digits."""

    regex = "[0-9]{1,9}"

    def convert(self, value: str) -> int:
        return int(value)

    def to_string(self, value: int) -> str:
        return str(value)


register_url_convertor("row", _RowConvertor())

STUDY_PATH = "/s/{study:row}"
TRIAL_PATH = "/r/{study:row}/{stage:row}/{number:row}"
"""The addresses of a study and of a trial; pages below them append to these."""


def number(request: Request, name: str, default: int | None = None) -> int:
    """Reads a whole number from the query.

    Args:
        request: the request.
        name: of the parameter.
        default: the value where it is missing. Default: None, the parameter is required.

    Raises:
        HTTPException: 400, where it is missing or no whole number.
    """
    given = request.query_params.get(name)
    if given is None and default is not None:
        return default
    if given is None or not given.isascii() or not given.isdigit() or len(given) > 16 or int(given) > LARGEST:
        raise HTTPException(400, f"{name} must be a whole number")
    return int(given)


def wants_data(request: Request) -> bool:
    """Returns True for a request of a script, which wants data and no page."""
    return "application/json" in request.headers.get("accept", "")
