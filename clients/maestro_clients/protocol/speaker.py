"""Speaker: the `as` of a request.

Rule: the one place where the session `operator` becomes the operator, which needs no token. A shell's variables never
do: a person says `--as operator`, and an agent would inherit them. It imports nothing that costs time, because every
command builds an `as`.
"""

from __future__ import annotations

from maestro_schemas.errors import MaestroError
from maestro_schemas.names import OPERATOR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    # The fields of an `as`.
    Speaker = dict[str, str | bool]


def speaker(session: str | None, token: str | None) -> Speaker:
    """The `as` of a session, without absent fields; empty for the operator who only reads."""
    if session == OPERATOR:
        return {"operator": True}
    body: Speaker = {}
    if session is not None:
        body["session"] = session
    if token is not None:
        body["token"] = token
    return body


def named_by(body: Mapping[str, str | bool]) -> tuple[str | None, str | None]:
    """The session and the token of an `as`."""
    if body.get("operator"):
        return OPERATOR, None
    session, token = body.get("session"), body.get("token")
    return (session if isinstance(session, str) else None), (token if isinstance(token, str) else None)


def check_variable(session: str | None) -> None:
    """Raises MaestroError NO_SESSION where MAESTRO_SESSION_ID names the operator."""
    if session == OPERATOR:
        raise MaestroError(
            "NO_SESSION",
            "the environment names `operator` as its session, and only the person is that, and says so each time",
            "Unset MAESTRO_SESSION_ID. A person writes so: maestro send --as operator --to SESSION ...",
        )
