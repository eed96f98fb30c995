"""Recipients: the mailbox that an outgoing message is put into.

Rule: if the receiver has ended, `onEnded` of the message or else the broker's setting decides: the send is refused,
or the message waits in the ended session's mailbox, or it is redirected to that session's orchestrator. An accepted
message is not moved: mail that a session had not read when it ended waits for it as queued mail does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from maestro_broker.core import validation
from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import ADDRESSES_MAX, ON_ENDED
from maestro_schemas.names import AUDIENCE_SIGIL
from maestro_schemas.texts.visible_text import one_line

from . import audiences

if TYPE_CHECKING:
    from maestro_broker.core.model.mailbox import Mailbox
    from maestro_broker.core.model.session_registry import SessionState
    from maestro_broker.core.model.state import State
    from maestro_schemas.requests import Outgoing
    from maestro_schemas.sessions import Session

    from .audiences import Expansion

# Of a list of addresses, an error repeats this much.
_NAMED_MAX = 4
_SAID_CHARS_MAX = 200


class Resolved(Struct, gc=False, frozen=True):
    """The recipients of one message."""

    # Each once.
    recipients: tuple[Recipient, ...]
    # The addressed sessions that have ended and refuse the message, if the sender gave a list.
    refusals: tuple[tuple[str, MaestroError], ...] = ()
    # How many recipients only a wide audience addressed.
    unchosen: int = 0
    # Whether a list, or one address of several sessions, was given.
    is_audience: bool = True


class Recipient(Struct, gc=False, frozen=True):
    """A session that a message is delivered to."""

    session: SessionState
    # The ended session that the sender addressed, if the message is redirected.
    original_to: str | None
    mailbox: Mailbox


# Of a message whose address is wrong.
NO_RECIPIENTS = Resolved(())


def resolve(state: State, sender: Session, outgoing: Outgoing, expansion: Expansion) -> Resolved:
    """The recipients of a message; `expansion` is its request's.

    Raises MaestroError RECEIVER_NOT_FOUND, AMBIGUOUS_NAME, INVALID (no such word), TOO_MANY, NO_RECEIVERS,
    GROUP_NOT_FOUND, ROLE_FORBIDDEN, FORBIDDEN; and RECEIVER_ENDED for an address that stands alone.
    """
    to = outgoing.to
    if isinstance(to, str):
        if not to.startswith(AUDIENCE_SIGIL):
            return Resolved((_recipient(state, sender, to, outgoing.on_ended),), is_audience=False)
        to = [to]
    validation.check_many(len(to), "addresses", ADDRESSES_MAX)
    found: dict[str, Recipient] = {}
    refused: dict[str, MaestroError] = {}
    unchosen: dict[str, Recipient] = {}
    most = state.limits.fanout_max
    for address in dict.fromkeys(to):
        if address.startswith(AUDIENCE_SIGIL):
            place = unchosen if audiences.is_wide(address) else found
            members = expansion.members(address)
            if len(members) > most:
                raise _too_many([address], len(members), most)
            for member in members:
                session = member.session.id
                place.setdefault(session, Recipient(member, None, state.mailboxes[session]))
            continue
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
    chosen = len(found)
    for session, recipient in unchosen.items():
        found.setdefault(session, recipient)
    added = len(found) - chosen
    if not found and not refused:
        raise _no_receivers(to)
    count = len(found) + len(refused)
    if count > most:
        raise _too_many(to, count, most)
    return Resolved(tuple(found.values()), tuple(refused.items()), added)


def _too_many(to: list[str], count: int, most: int) -> MaestroError:
    return MaestroError(
        "TOO_MANY",
        f"{', '.join(to[:_NAMED_MAX])} comes to {count:,} sessions, and the limit is {most}",
        "Address a part: @project:NAME, a group, or names. The limit is MAESTRO_FANOUT_MAX of the broker.",
        limit=most,
        actual=count,
    )


def _no_receivers(to: list[str]) -> MaestroError:
    said = one_line(", ".join(to[:_NAMED_MAX]))[:_SAID_CHARS_MAX] or "an empty list"
    return MaestroError(
        "NO_RECEIVERS",
        f"{said} comes to no active session but the sender",
        "`maestro session list` shows who is here.",
    )


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
