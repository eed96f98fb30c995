"""Hook input: what an agent says on a hook's standard input.

Rule: one JSON object of bounded size; of its fields only those that are known are read, and a field of another kind
counts as absent, since agents add and change them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from maestro_schemas.errors import MaestroError
from maestro_schemas.names import is_id

if TYPE_CHECKING:
    from typing import BinaryIO

# The whole result of a tool is in it, so it may be large; more than this is nobody's tool result.
BYTES_MAX = 64 << 20


class HookInput(NamedTuple):
    """`session`: the agent's own id of its session, empty where it is none that can be a file's name. `source`: why
    a session starts; `reason`: why it ends. `in_subagent`: whether a subagent's call is the cause."""

    session: str = ""
    source: str = ""
    reason: str = ""
    directory: str = ""
    tool: str = ""
    in_subagent: bool = False
    stop_hook_active: bool = False


def read(stream: BinaryIO) -> HookInput:
    """The object on a stream. Raises MaestroError INVALID for anything else, FRAME_TOO_LARGE above BYTES_MAX."""
    raw = stream.read(BYTES_MAX + 1)
    if len(raw) > BYTES_MAX:
        raise MaestroError("FRAME_TOO_LARGE", "the hook's input is too large", limit=BYTES_MAX, actual=len(raw))
    return parse(raw)


def parse(raw: bytes) -> HookInput:
    """The object in `raw`. Raises MaestroError INVALID."""
    import json

    try:
        found = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise MaestroError("INVALID", f"the hook's input is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise MaestroError("INVALID", f"the hook's input is no JSON object but a {type(found).__name__}")
    session = _text(found, "session_id")
    return HookInput(
        session=session if is_id(session) else "",
        source=_text(found, "source"),
        reason=_text(found, "reason"),
        directory=_text(found, "cwd"),
        tool=_text(found, "tool_name"),
        in_subagent=bool(found.get("agent_id")),
        stop_hook_active=found.get("stop_hook_active") is True,
    )


def _text(found: dict[str, Any], name: str) -> str:
    value = found.get(name)
    return value if isinstance(value, str) else ""
