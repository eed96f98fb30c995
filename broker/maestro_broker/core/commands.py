"""Commands: how one request is carried out.

Rule: no I/O, no clock, no randomness. A handler decides, changes the state in memory and leaves records in it; the
server makes them durable before it answers. A request that is refused has changed nothing, and a handler reads
nothing once it has changed something; `execute` checks both. Everything here can be replayed from a seed.
"""

from __future__ import annotations

from types import GeneratorType
from typing import TYPE_CHECKING, Any

from maestro_schemas.bodies.previews import Preview
from maestro_schemas.commands import BY_REQUEST
from maestro_schemas.errors import FatalError, MaestroError
from maestro_schemas.requests import (
    Confirm,
    Delete,
    GetMessage,
    GetReceipt,
    GetThread,
    GroupDelete,
    GroupGet,
    GroupList,
    GroupSet,
    Inbox,
    PresenceGet,
    Request,
    Send,
    SessionEnd,
    SessionGet,
    SessionList,
    SessionRename,
    SessionStart,
    SessionTouch,
)

from . import authorization, receipts, reception, threads
from .context import record_refusal
from .groups import group_commands
from .sending import acceptance, previews
from .sessions import presence_list, session_commands

if TYPE_CHECKING:
    from collections.abc import Callable

    from .context import RequestContext
    from .model.reads import Read
    from .model.state import State

    # Returns the reply, or `Reads` of it.
    Handler = Callable[[State, Any, RequestContext], Any]

HANDLERS: dict[type[Request], Handler] = {
    Send: acceptance.send,
    Preview: previews.preview,
    Inbox: reception.inbox,
    Confirm: reception.confirm,
    Delete: reception.delete,
    GetMessage: reception.get_message,
    GetReceipt: receipts.get,
    GetThread: threads.get,
    SessionStart: session_commands.start,
    SessionEnd: session_commands.end,
    SessionRename: session_commands.rename,
    SessionGet: session_commands.get,
    SessionList: session_commands.list_sessions,
    SessionTouch: session_commands.touch,
    GroupSet: group_commands.set_group,
    GroupDelete: group_commands.delete,
    GroupGet: group_commands.get,
    GroupList: group_commands.list_groups,
    PresenceGet: presence_list.presence_of_sessions,
}


def execute(
    handler: Handler, state: State, request: Request, context: RequestContext, load: Callable[[Read, int], Any]
) -> Any:
    """Carry out one command; returns the body of its reply.

    `load(read, now_ms)` answers a read, or raises to give the request up. Raises MaestroError, and has then changed
    nothing but the audit.
    """
    lsn = state.lsn
    try:
        command = BY_REQUEST[type(request)]
        # Most requests name their session, which is all that the scope of theirs demands.
        if command.scope != "anyone" and (command.scope != "session" or request.who.session is None):
            authorization.check_scope(state, command, request.who, context.now_ms)
        reply = handler(state, request, context)
        if type(reply) is not GeneratorType:
            return reply
        answer = None
        while True:
            read = reply.send(answer)
            if state.lsn != lsn:
                raise AssertionError(f"the handler of {type(request).__name__} reads {read} after a change")
            answer = load(read, context.now_ms)
    except StopIteration as done:
        return done.value
    except FatalError:
        raise
    except MaestroError as error:
        if state.lsn != lsn:
            raise AssertionError(f"the handler of {type(request).__name__} refuses after a change") from error
        # A send's refusals are all recorded, those of its messages by its handler; of other commands those of rights,
        # to which an id or a name of another session belongs.
        if error.status in (401, 403) or error.code == "NAME_TAKEN" or isinstance(request, Send):
            # A caller that starts a session claims to be that session.
            claimed = request.id if isinstance(request, SessionStart) else None
            record_refusal(state, context, error.code, request.who.session or claimed, None, None)
        raise
