"""Group rights: who may make, change and delete a group, and who sees what was sent to it.

Rule: nothing here changes the state. `asking` None is the operator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_broker.core import authorization, validation, visibility
from maestro_schemas.errors import OPERATOR_MAY, MaestroError
from maestro_schemas.names import OPERATOR

if TYPE_CHECKING:
    from maestro_broker.core.model.session_registry import SessionState
    from maestro_broker.core.model.state import State
    from maestro_schemas.groups import Group
    from maestro_schemas.messages import Message


def caller_id(asking: SessionState | None) -> str:
    """What records and groups say of the caller."""
    return OPERATOR if asking is None else asking.session.id


def leads(asking: SessionState | None, group: Group) -> bool:
    """Whether the caller is responsible for the group: the operator, or an orchestrator of its project."""
    if asking is None:
        return True
    own = asking.session
    return own.role == "orchestrator" and own.project_id == group.project_id


def check_create(asking: SessionState | None, project: str) -> None:
    """Raises MaestroError SESSION_ENDED, FORBIDDEN."""
    if asking is None:
        return
    own = asking.session
    if not own.active:
        raise authorization.ended(own)
    if own.role != "orchestrator" and own.project_id != project:
        raise MaestroError(
            "FORBIDDEN",
            f"worker {own.id} (project {own.project_id}) may not make a group in project {project}",
            "Leave --project off, or ask an orchestrator.",
        )


def check_add(asking: SessionState | None, group: Group, found: SessionState) -> None:
    """Whether the caller may make this session a member. Raises MaestroError SESSION_ENDED, FORBIDDEN,
    ROLE_FORBIDDEN, INVALID for the operator, who is in no audience."""
    session = found.session
    if session.id == OPERATOR:
        raise MaestroError(
            "INVALID",
            "the operator is a member of no group",
            f"The operator sees what is sent to it. To write to both: --to @{group.name} --to {OPERATOR}",
        )
    if asking is None:
        return
    own = asking.session
    if not own.active:
        raise authorization.ended(own)
    if asking is found:
        if own.role != "orchestrator" and own.project_id != group.project_id:
            raise MaestroError(
                "FORBIDDEN",
                f"worker {own.id} (project {own.project_id}) may not join @{group.name}, which is of project "
                f"{group.project_id}",
                "An orchestrator of that project may add it.",
            )
        return
    _check_others(asking, group)
    # A member reads what the others write, so a worker adds only sessions that it may write to itself.
    validation.check_role(own, session)


def check_remove(asking: SessionState | None, group: Group, session_id: str) -> None:
    """Whether the caller may take this member out. Raises MaestroError SESSION_ENDED, FORBIDDEN."""
    if asking is None or asking.session.id == session_id:
        return
    if not asking.session.active:
        raise authorization.ended(asking.session)
    _check_others(asking, group)


def check_delete(asking: SessionState | None, group: Group) -> None:
    """Raises MaestroError SESSION_ENDED, FORBIDDEN."""
    if asking is not None and not asking.session.active:
        raise authorization.ended(asking.session)
    if not (leads(asking, group) or group.creator == caller_id(asking)):
        raise MaestroError(
            "FORBIDDEN",
            f"{caller_id(asking)} may not delete @{group.name}",
            f"{_ask(group)} To leave it: maestro group leave {group.name}",
        )


def sees(state: State, asking: SessionState | None, group: Group, message: Message) -> bool:
    """Whether the caller may see a message that was sent to the group.

    The operator and orchestrators of its project see all. A member sees what was sent since it joined, if the sender
    may write to it, and each session what it sent or received itself. What was sent to an earlier group of the same
    name is not the group's.
    """
    if message.created_at < group.created_at:
        return False
    if asking is None or leads(asking, group) or visibility.sees_message(state, asking, message):
        return True
    sender = state.sessions.get(message.sender)
    return (
        sender is not None
        and validation.may_write(sender.session, asking.session)
        and any(
            member.session == asking.session.id and member.joined_at <= message.created_at for member in group.members
        )
    )


def _check_others(asking: SessionState, group: Group) -> None:
    if leads(asking, group) or group.creator == asking.session.id:
        return
    raise MaestroError(
        "FORBIDDEN",
        f"{asking.session.id} may not add others to @{group.name}, or take them out",
        f"{_ask(group)} A session joins by itself: maestro group join {group.name}",
    )


def _ask(group: Group) -> str:
    maker = "" if group.creator == OPERATOR else f"{group.creator}, who made it, or "
    return f"Ask {maker}an orchestrator of project {group.project_id}. {OPERATOR_MAY}"
