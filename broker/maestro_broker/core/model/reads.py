"""Reads: what a handler must have from disk before it decides.

Rule: a handler is a generator. It yields its reads while it runs, is resumed with each answer, and changes the state
only after the last one. Messages and mailboxes that were read come into the state; the rest is the answer itself.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Literal, NamedTuple, TypeVar

T = TypeVar("T")


class Read(NamedTuple):
    """One read. Its ids are well formed, so they are safe as parts of a path."""

    # pending: all pending mail of `session`; mailbox: all its mail; file: one message of it. No answer.
    # sent: what the message became that `session` sent, a records.SentFile or None. Loads its deliveries too.
    # thread: the filed answers of the thread that begins with the message: id -> receivers.
    # group: the ids of the filed messages that were addressed to the group whose name is `message_id`.
    # names: some ids of filed mail of `session` that begin with `message_id`.
    # blob: the size of the attached file whose digest `message_id` is, None if it is not there. It then stays for an
    # hour.
    kind: Literal["pending", "mailbox", "file", "sent", "thread", "group", "names", "blob"]
    session: str
    message_id: str


# What a handler is: it yields reads and returns its reply.
Reads = Generator[Read, Any, T]
