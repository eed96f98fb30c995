"""Session shape: a session in the documented form, with every documented field, and the lines of its timeline."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from maestro_schemas.documents import MessageDoc, SessionDoc


def shown(session: SessionDoc) -> dict[str, Any]:
    """The session, with null or an empty value where it has none."""
    return {
        "name": None,
        "parentSessionId": None,
        "taskIds": [],
        "completedAt": None,
        "metadata": {},
        "timeline": [],
        "needsInput": {"active": False},
        **session,
    }


def message_lines(message: MessageDoc, receivers: Sequence[str], own: str) -> Iterator[dict[str, Any]]:
    """The lines of a session's timeline that follow from one of its messages, without the text. They are derived when
    they are asked for, so that a message costs no further record."""
    about = {name: value for name, value in message.get("metadata", {}).items() if name in ("type", "priority")}
    to = list(receivers) or message["to"]
    if message["from"] == own:
        shown_to = ", ".join(receivers) or message["to"]
        yield _line(message, "message_sent", f"Sent message to {shown_to}", message["createdAt"], {"to": to, **about})
    if message["to"] == own:
        names = {"from": message["from"], **about}
        kind = "prompt_received" if about.get("type") == "command" else "message_received"
        what = f"Received {kind.removesuffix('_received')} from {message['from']}"
        yield _line(message, kind, what, message["createdAt"], names)
        if "readAt" in message:
            yield _line(message, "messages_read", f"Read message from {message['from']}", message["readAt"], names)


def _line(message: MessageDoc, kind: str, what: str, at: int, names: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"{message['id']}_{kind}",
        "type": kind,
        "message": what,
        "timestamp": at,
        "metadata": {"messageId": message["id"], **names},
    }
