"""Sent ids: who sent a message of format 1 under an id, and to whom, also if the message was deleted.

Rule: the links in `by-sender` are the truth, and stay until the end of the step. Memory holds eight bytes for each: a
part of the name's hash, and the sender's number. A look-up reads the links that these eight bytes suggest.
"""

from __future__ import annotations

import os
from array import array
from bisect import bisect_left
from typing import NamedTuple

from maestro_schemas.names import is_id

SUFFIX = ".json"
_SENDER_BITS = 24
_SENDER_MASK = (1 << _SENDER_BITS) - 1
_HASH_MASK = (1 << 40) - 1
# Sorting turns the numbers of one part into objects: a part at a time takes little memory.
_PARTS = 256
_TARGET_PARTS = 5


class Sent(NamedTuple):
    """The sender and the receiver of a message."""

    sender: str
    receiver: str


class SentIds:
    """The links of all senders below `senders`."""

    def __init__(self, senders: str) -> None:
        self._directory = senders
        self._senders = sorted(name for name in os.listdir(senders) if os.path.isdir(os.path.join(senders, name)))
        self._parts = [array("Q") for _ in range(_PARTS)]
        self.count = 0
        for number, sender in enumerate(self._senders):
            self._add(number, os.path.join(senders, sender))
        self._parts = [array("Q", sorted(part)) for part in self._parts]

    def _add(self, number: int, directory: str) -> None:
        parts = self._parts
        with os.scandir(directory) as entries:
            for entry in entries:
                hashed = hash(entry.name) & _HASH_MASK
                parts[hashed % _PARTS].append(hashed << _SENDER_BITS | number)
                self.count += 1

    def find(self, message_id: str) -> list[Sent]:
        """Each message of this id."""
        name = message_id + SUFFIX
        hashed = hash(name) & _HASH_MASK
        part = self._parts[hashed % _PARTS]
        found = []
        for index in range(bisect_left(part, hashed << _SENDER_BITS), len(part)):
            if part[index] >> _SENDER_BITS != hashed:
                break
            sender = self._senders[part[index] & _SENDER_MASK]
            receiver = self.receiver(sender, name)
            if receiver is not None:
                found.append(Sent(sender, receiver))
        return found

    def receiver(self, sender: str, name: str) -> str | None:
        """The receiver to whose mailbox a link of this name leads."""
        try:
            return receiver_in(os.readlink(f"{self._directory}/{sender}/{name}"), name)
        except OSError:
            return None

    def has(self, sender: str, message_id: str) -> bool:
        """Whether this sender has sent a message under the id."""
        return self.receiver(sender, message_id + SUFFIX) is not None


def link_target(receiver: str, message_id: str) -> str:
    """The target of a link of format 1."""
    return f"../../by-receiver/{receiver}/{message_id}{SUFFIX}"


def receiver_in(target: str, name: str) -> str | None:
    """The receiver in the target of a link of format 1 with this name; None for any other target."""
    parts = target.split("/")
    if len(parts) != _TARGET_PARTS or parts[:3] != ["..", "..", "by-receiver"] or parts[4] != name:
        return None
    is_whole = name.endswith(SUFFIX) and is_id(name.removesuffix(SUFFIX)) and is_id(parts[3])
    return parts[3] if is_whole else None
