"""Group rights: who may make, change and delete a group, and who sees what was sent to it.

Rule: nothing here changes the state. `asking` None is the operator.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maestro_broker.core import visibility

if TYPE_CHECKING:
    from maestro_broker.core.model.session_registry import SessionState
    from maestro_broker.core.model.state import State
    from maestro_schemas.groups import Group
    from maestro_schemas.messages import Message


def leads(asking: SessionState | None, group: Group) -> bool:
    """Whether the caller is responsible for the group: the operator, or an orchestrator of its project."""
    if asking is None:
        return True
    own = asking.session
    return own.role == "orchestrator" and own.project_id == group.project_id


def sees(state: State, asking: SessionState | None, group: Group, message: Message) -> bool:
    """Whether the caller may see a message that was sent to the group.

    The operator and orchestrators of its project see all. A member sees what was sent since it joined, and each
    session what it sent or received itself. What was sent to an earlier group of the same name is not the group's.
    """
    if message.created_at < group.created_at:
        return False
    if asking is None or leads(asking, group):
        return True
    joined = (member.joined_at for member in group.members if member.session == asking.session.id)
    return next(joined, message.created_at + 1) <= message.created_at or visibility.sees_message(
        state, asking, message
    )
