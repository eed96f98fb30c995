"""Recipients: the mailbox that an outgoing message is put into.

Rule: if the receiver has ended, `onEnded` of the message or else the broker's setting decides: the send is refused,
or the message waits in the ended session's mailbox, or it is redirected to that session's orchestrator. An accepted
message is not moved: mail that a session had not read when it ended waits for it as queued mail does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import ADDRESSES_MAX, ON_ENDED

from . import validation

if TYPE_CHECKING:
    from maestro_schemas.requests import Outgoing
    from maestro_schemas.sessions import Session

    from .model.mailbox import Mailbox
    from .model.session_registry import SessionState
    from .model.state import State


class Recipient(Struct, gc=False, frozen=True):
    """A session that a message is delivered to."""

    session: SessionState
    # The ended session that the sender addressed, if the message is redirected.
    original_to: str | None
    mailbox: Mailbox


def resolve(
    state: State, sender: Session, outgoing: Outgoing
) -> tuple[tuple[Recipient, ...], tuple[tuple[str, MaestroError], ...]]:
    """The recipients, each once; and the addressed sessions that have ended and refuse the message, if the sender
    gave a list.

    Raises MaestroError RECEIVER_NOT_FOUND, AMBIGUOUS_NAME, INVALID (no such word), TOO_MANY, NO_RECEIVERS; and
    RECEIVER_ENDED for an address that stands alone.
    """
    if isinstance(outgoing.to, str):
        return (_recipient(state, sender, outgoing.to, outgoing.on_ended),), ()
    validation.check_many(len(outgoing.to), "addresses", ADDRESSES_MAX)
    found: dict[str, Recipient] = {}
    refused: dict[str, MaestroError] = {}
    for address in outgoing.to:
        try:
            recipient = _recipient(state, sender, address, outgoing.on_ended)
        except MaestroError as error:
            if error.code != "RECEIVER_ENDED" or error.details is None:
                raise
            refused.setdefault(error.details["session"], error)
        else:
            found.setdefault(recipient.mailbox.session, recipient)
    # A list never comes to its sender. One address may, on purpose.
    found.pop(sender.id, None)
    if not found and not refused:
        raise MaestroError("NO_RECEIVERS", "the message has no receiver but its sender", "Name another session.")
    validation.check_many(len(found) + len(refused), "receivers", state.limits.fanout_max)
    return tuple(found.values()), tuple(refused.items())


def _recipient(state: State, sender: Session, to: str, wanted: str | None) -> Recipient:
    meant = state.sessions.resolve(to, sender, "RECEIVER_NOT_FOUND")
    if wanted is None and meant.active:
        return Recipient(meant, None, state.mailboxes[meant.session.id])  # the common case
    on_ended = state.limits.on_ended if wanted is None else wanted
    if on_ended not in ON_ENDED:
        raise MaestroError("INVALID", f"onEnded can't be {on_ended[:40]!r}", f"Use one of: {', '.join(ON_ENDED)}.")
    if meant.active or on_ended == "queue":
        return Recipient(meant, None, state.mailboxes[meant.session.id])
    if on_ended == "error":
        raise _ended(
            meant.session,
            "It will not read this. `--on-ended queue` keeps the message for when it comes back under the same id, "
            "`--on-ended redirect` gives it to its orchestrator; `maestro session list` shows who is here.",
        )
    found = _orchestrator(state, sender, meant.session)
    return Recipient(found, meant.session.id, state.mailboxes[found.session.id])


def _orchestrator(state: State, sender: Session, ended: Session) -> SessionState:
    """The nearest active orchestrator above an ended session; else the only one of its project.

    A worker above it is skipped: an orchestrator is responsible for the task, and a worker may not be.
    """
    found = _above(state, ended)
    if found is None:
        here = [
            one
            for one in state.sessions
            if one.session.active
            and one.session.role == "orchestrator"
            and one.session.project_id == ended.project_id
        ]
        if len(here) != 1:
            count = f"{len(here)} active orchestrators" if here else "no active orchestrator"
            raise _ended(
                ended,
                f"It could not be redirected: no orchestrator above it is active, and project {ended.project_id} has "
                f"{count}. Name the receiver (`maestro session list`), or keep the message for it: "
                "`--on-ended queue`.",
            )
        [found] = here
    if found.session.id == sender.id:
        raise _ended(
            ended,
            "It could not be redirected: its orchestrator is the sender. Keep the message for it with "
            "`--on-ended queue`, or name another receiver.",
        )
    return found


def _above(state: State, ended: Session) -> SessionState | None:
    seen = {ended.id}
    parent_id = ended.parent_session_id
    # A session may be started again with another parent, so parents can form a circle.
    while parent_id is not None and parent_id not in seen:
        seen.add(parent_id)
        parent = state.sessions.get(parent_id)
        if parent is None:
            return None
        if parent.session.active and parent.session.role == "orchestrator":
            return parent
        parent_id = parent.session.parent_session_id
    return None


def _ended(session: Session, hint: str) -> MaestroError:
    return MaestroError(
        "RECEIVER_ENDED",
        f"session {session.id} has ended ({session.status})",
        hint,
        details={"session": session.id},
    )
