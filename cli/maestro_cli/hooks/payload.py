"""Hook payload: the JSON object that an agent writes to a hook's standard input.

Rule: one JSON object of bounded size. Only known fields are read, and a field of another type counts as absent,
because agents add and change fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from maestro_runtime import places
from maestro_schemas.errors import MaestroError
from maestro_schemas.names import is_id
from maestro_schemas.texts.waking import NOTICE

if TYPE_CHECKING:
    from typing import BinaryIO

# The payload contains the whole result of a tool, so it may be large. No real tool result is larger than this.
BYTES_MAX = 64 << 20


class HookInput(NamedTuple):
    """The known fields. An absent text is empty."""

    # The agent's own session id; empty where it can't be a file name.
    session: str = ""
    # Why a session starts, and why it ends.
    source: str = ""
    reason: str = ""
    # The agent's working directory.
    directory: str = ""
    # The tool that has run.
    tool: str = ""
    # Whether a subagent caused the call.
    in_subagent: bool = False
    # Whether a hook has continued this turn already.
    stop_hook_active: bool = False
    # Whether the prompt is that of a wake, and no person's.
    is_woken: bool = False
    # The file in which the agent keeps the conversation.
    transcript: str = ""


def read(stream: BinaryIO) -> HookInput:
    """Read the object from a stream. Raises MaestroError INVALID for other input, FRAME_TOO_LARGE above BYTES_MAX."""
    raw = stream.read(BYTES_MAX + 1)
    if len(raw) > BYTES_MAX:
        raise MaestroError("FRAME_TOO_LARGE", "the hook's input is too large", limit=BYTES_MAX, actual=len(raw))
    return parse(raw)


def parse(raw: bytes) -> HookInput:
    """Parse the object. Raises MaestroError INVALID."""
    import json

    try:
        # A byte that is no UTF-8 may be a part of a path, which is no reason to be without a session.
        found = json.loads(raw.decode("utf-8-sig", "surrogateescape"))
    except (ValueError, RecursionError) as error:
        raise MaestroError("INVALID", f"the hook's input is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise MaestroError("INVALID", f"the hook's input is not a JSON object but a {type(found).__name__}")
    session = _text(found, "session_id")
    return HookInput(
        session=session if is_id(session) else "",
        source=_text(found, "source"),
        reason=_text(found, "reason"),
        directory=places.label(_text(found, "cwd")) or "",
        tool=_text(found, "tool_name"),
        in_subagent=bool(found.get("agent_id")),
        stop_hook_active=found.get("stop_hook_active") is True,
        is_woken=NOTICE in _text(found, "prompt"),
        transcript=_text(found, "transcript_path"),
    )


def _text(found: dict[str, Any], name: str) -> str:
    value = found.get(name)
    # Half a surrogate pair can't be sent, and may stand for a byte that was no UTF-8.
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else ""
