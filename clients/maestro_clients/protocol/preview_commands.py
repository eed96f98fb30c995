"""Preview commands: `preview`, as `commands` has the others.

Rule: it is imported where it is used, since a command that sends does not need it.
"""

from __future__ import annotations

from .reply_fields import given, whole

TYPE_CHECKING = False  # importing `typing` costs as much as a whole command of the fast path
if TYPE_CHECKING:
    from maestro_schemas.documents import MetadataDoc, PreviewDoc

    from .callers import Caller
    from .commands import Request


def preview(
    to: str | list[str],
    *,
    metadata: MetadataDoc | None = None,
    on_ended: str | None = None,
    caller: Caller | None = None,
) -> Request[PreviewDoc]:
    """Who would get a message now, and when; nothing is sent and no rate is counted. The arguments are those of
    `send`. `metadata` matters, since a quiet message wakes no agent.

    A receiver that would refuse has an `error`, also if it is the only one; `confirm` says that `send` needs it.
    Raises the error of an address or a role that refuses the whole message.
    """
    body = {"to": to, **given(metadata=metadata or None, onEnded=on_ended)}
    return "preview", body, whole("preview", "recipients", list), caller
