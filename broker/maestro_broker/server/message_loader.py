"""Message loader: answers the reads of handlers that take a few files.

Rule: a read is answered at once, since it takes microseconds. Whole mailboxes are loaded in steps (`mailbox_loader`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from maestro_runtime import process_identity

if TYPE_CHECKING:
    from maestro_broker.core.model.reads import Read
    from maestro_broker.core.model.session_registry import SessionState
    from maestro_broker.core.model.state import State
    from maestro_broker.views.spool import Spool


def load(state: State, spool: Spool, read: Read) -> Any:
    """Load what a read asks for into the state; the answer, where `Read` says that there is one. Raises OSError."""
    match read.kind:
        case "file":
            _load_file(state, spool, read.session, read.message_id)
        case "link":
            receiver = spool.link_target(read.session, read.message_id)
            if receiver is not None:
                _load_file(state, spool, receiver, read.message_id)
            return receiver
        case "thread":
            return dict(spool.answers(read.message_id))
        case "anywhere":
            for session in spool.holders(read.message_id):
                _load_file(state, spool, session, read.message_id)
        case "process":
            return _is_alive(state.sessions.get(read.session))
        case _:
            raise AssertionError(f"{read} takes more than a few files")
    return None


def _is_alive(found: SessionState | None) -> bool | None:
    """Whether the session's process runs. A pid that came by a key is another machine's, and one without its start
    may be another process."""
    if found is None or found.key is not None or found.session.pid is None or found.session.pid_start is None:
        return None
    return process_identity.is_alive(found.session.pid, found.session.pid_start)


def _load_file(state: State, spool: Spool, session: str, message_id: str) -> None:
    mailbox = state.mailboxes.get(session)
    if mailbox is not None and mailbox.remembers(message_id):
        return
    message = spool.read_message(session, message_id)
    if message is not None:
        state.load_message(message)
