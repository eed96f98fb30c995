"""Session names: which name a session gets that asked for a base alone, or that must give its own up.

Rule: such a name is no address that something else has: an id, the name of an active session, a group, a word of the
address line. A session whose process is gone gives up the base itself, as it does for a name that was asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_broker.core.sending import acceptance
from maestro_schemas.limits import NAME_CHARS_MAX
from maestro_schemas.names import AUDIENCE_WORDS, is_reserved, likeness

from . import session_rights

if TYPE_CHECKING:
    from maestro_broker.core.context import RequestContext
    from maestro_broker.core.model.state import State


def based(state: State, context: RequestContext, base: str, session_id: str) -> str:
    """The base, or the base with the first number that makes it free, as a name for this session."""
    if _is_free(state, context, base, session_id):
        return base
    return _numbered(state, context, base, session_id)


def instead(state: State, name: str, but: str, base: str | None = None) -> str:
    """The name with the first number that makes it free, for a session that gives `name` up.

    `but`: a session whose id and name do not count. `base`: for which it gives the name up. Where that name is the
    base with a number, it gets the next.
    """
    number = name.removeprefix(f"{base}-")
    return _numbered(state, None, base if base is not None and number.isdecimal() else name, but)


def tell_of_change(state: State, session_id: str, old: str | None, new: str | None, now_ms: int) -> None:
    """Tell a session by mail that another one has its name."""
    acceptance.notify(
        state,
        session_id,
        f"renamed_{now_ms}_{state.lsn}",
        f"Another session took your name {old!r} while your process was gone, so your name is {new!r} now. Your id "
        f"{session_id} and your mail are as before. To choose another name: maestro session rename NAME",
        now_ms,
    )


def _is_free(state: State, context: RequestContext | None, name: str, but: str) -> bool:
    """`context`: if given, a session whose process is gone does not keep its name."""
    alike = likeness(name)
    if is_reserved(name) or alike in AUDIENCE_WORDS or alike in state.groups:
        return False
    # Of an ended session too: mail may be queued for its id.
    if name != but and state.sessions.get(name) is not None:
        return False
    return all(
        context is not None and likeness(other.session.id) != alike and session_rights.runs(context, other) is False
        for other in state.sessions.holders(name, but)
    )


def _numbered(state: State, context: RequestContext | None, base: str, but: str) -> str:
    number = 2
    while True:
        suffix = f"-{number}"
        candidate = f"{base[: NAME_CHARS_MAX - len(suffix)]}{suffix}"
        if _is_free(state, context, candidate, but):
            return candidate
        number += 1
