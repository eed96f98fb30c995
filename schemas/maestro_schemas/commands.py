"""Commands: the one table of the protocol's commands.

Rule: everything that differs between commands is a column here. Decoding, authorisation, the use of the disk reserve,
dispatch, the JSON Schemas and the tests of PROTOCOL.md follow from it; no other module lists commands.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import msgspec
from msgspec import Struct

from . import NOT_REPEATABLE, replies, requests
from .bodies import archive, attachments, previews
from .errors import MaestroError
from .requests import Request


class ProtocolCommand(NamedTuple):
    """One row. The defaults are the narrowest rights, so that a forgotten column opens nothing."""

    name: str
    request: type[Request]
    reply: type[Struct]
    # Who may call it on this machine: an operator (a peer of the broker's uid that names no session), a caller that
    # names a session, or either. A handler may ask for more, such as the mailbox's owner.
    scope: Literal["operator", "session", "anyone"] = "operator"
    # Who may call it with a key of another machine: no key but an operator's, the key of a session that `as` names,
    # or any key.
    remote: Literal["operator", "session", "anyone"] = "operator"
    # Whether it may write into the disk reserve: it frees space, or says what became of mail.
    from_reserve: bool = False

    @property
    def repeatable(self) -> bool:
        """Whether the same request may be sent again without acting twice."""
        return self.name not in NOT_REPEATABLE


COMMANDS = (
    ProtocolCommand("hello", requests.Hello, replies.HelloReply, "anyone", "anyone"),
    ProtocolCommand("send", requests.Send, replies.SendReply, "session", "session"),
    ProtocolCommand("preview", previews.Preview, previews.PreviewReply, "session", "session"),
    ProtocolCommand("inbox", requests.Inbox, replies.InboxReply, "anyone", "session"),
    ProtocolCommand("confirm", requests.Confirm, replies.ItemsReply, "anyone", "session", from_reserve=True),
    ProtocolCommand("message", requests.GetMessage, replies.MessageReply, "anyone", "session"),
    ProtocolCommand("receipt", requests.GetReceipt, replies.ReceiptReply, "anyone", "session"),
    ProtocolCommand("thread", requests.GetThread, replies.ThreadReply, "anyone", "session"),
    ProtocolCommand("dead", requests.Dead, replies.DeadReply, "anyone", "session"),
    ProtocolCommand("messages", requests.Messages, replies.MessagesReply, "anyone", "session"),
    ProtocolCommand("search", archive.Search, archive.SearchReply, "anyone", "session"),
    ProtocolCommand("threads", archive.Threads, archive.ThreadsReply, "anyone", "session"),
    ProtocolCommand("analytics", archive.Analytics, archive.AnalyticsReply, "anyone", "session"),
    ProtocolCommand("index.rebuild", archive.IndexRebuild, archive.IndexReply),
    ProtocolCommand("delete", requests.Delete, replies.ItemsReply, "anyone", "session", from_reserve=True),
    ProtocolCommand("blob.stat", attachments.BlobStat, attachments.BlobReply, "anyone", "session"),
    ProtocolCommand("blob.put", attachments.BlobPut, attachments.BlobReply, "anyone", "session"),
    ProtocolCommand("blob.get", attachments.BlobGet, attachments.BlobPartReply, "anyone", "session"),
    ProtocolCommand(
        "session.start", requests.SessionStart, replies.SessionReply, "anyone", "anyone", from_reserve=True
    ),
    ProtocolCommand("session.end", requests.SessionEnd, replies.SessionReply, "anyone", "session", from_reserve=True),
    ProtocolCommand("session.rename", requests.SessionRename, replies.SessionReply, "anyone", "session"),
    ProtocolCommand("session.get", requests.SessionGet, replies.SessionReply, "anyone", "anyone"),
    ProtocolCommand("session.list", requests.SessionList, replies.SessionsReply, "anyone", "anyone"),
    ProtocolCommand("presence", requests.PresenceGet, replies.PresenceReply, "anyone", "anyone"),
    ProtocolCommand(
        "session.touch", requests.SessionTouch, replies.SessionReply, "anyone", "session", from_reserve=True
    ),
    ProtocolCommand("group.set", requests.GroupSet, replies.GroupReply, "anyone", "session"),
    ProtocolCommand("group.delete", requests.GroupDelete, replies.GroupDeletedReply, "anyone", "session"),
    ProtocolCommand("group.get", requests.GroupGet, replies.GroupReply, "anyone", "session"),
    ProtocolCommand("group.list", requests.GroupList, replies.GroupsReply, "anyone", "session"),
    ProtocolCommand("events", requests.Events, replies.EventsReply, "anyone", "session"),
    ProtocolCommand("stats", requests.Stats, replies.StatsReply, "anyone"),
    ProtocolCommand("outbox.drain", requests.OutboxDrain, replies.DrainReply, "anyone"),
    ProtocolCommand("prune", requests.Prune, replies.PruneReply),
    ProtocolCommand("shutdown", requests.Shutdown, replies.ShutdownReply, "anyone"),
)

BY_REQUEST: dict[type[Request], ProtocolCommand] = {command.request: command for command in COMMANDS}
REQUESTS: dict[str, type[Request]] = {command.name: command.request for command in COMMANDS}
REPLIES: dict[str, type[Struct]] = {command.name: command.reply for command in COMMANDS}

_DECODERS = {command.name.encode(): msgspec.msgpack.Decoder(command.request) for command in COMMANDS}


def decode_request(name: bytes, body: bytes) -> Request:
    """The typed request. Raises MaestroError UNKNOWN_COMMAND, BAD_REQUEST (not msgpack) or INVALID (a field)."""
    decoder = _DECODERS.get(name)
    if decoder is None:
        raise MaestroError(
            "UNKNOWN_COMMAND",
            f"there is no command {name[:64].decode('ascii', 'backslashreplace')!r}",
            f"Commands: {', '.join(REQUESTS)}. A newer client may need a newer broker: `maestro down`, then retry.",
        )
    try:
        return decoder.decode(body)
    except msgspec.ValidationError as error:
        from .generators.field_errors import explained  # a client that only sends does not need it

        what = explained(error, REQUESTS[name.decode()])
        raise MaestroError(
            "INVALID", f"{name.decode()}: {what}", "PROTOCOL.md lists each command's fields and values."
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise MaestroError(
            "BAD_REQUEST", f"the body of {name.decode()} is no msgpack map: {error}", "Send one msgpack map."
        ) from None
