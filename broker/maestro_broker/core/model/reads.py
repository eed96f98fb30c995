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
    # anywhere: the message in whatever mailbox has it. No answer.
    # link: the receiver of the message that `session` sent, or None. Loads the message too.
    # thread: the filed answers of the thread that begins with the message: id -> receiver.
    # process: whether the recorded process of `session` runs: True, False, or None if that is not known.
    kind: Literal["pending", "mailbox", "file", "anywhere", "link", "thread", "process"]
    session: str
    message_id: str


# What a handler is: it yields reads and returns its reply.
Reads = Generator[Read, Any, T]
