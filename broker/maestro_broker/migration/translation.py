"""Translation: the documents of format 1 with the ids of format 2.

Rule: only ids change. A document is translated once, from the old place to the new one, so no id is taken for a new
one that only looks like it. A document of another shape is left as it is: the next start quarantines it as before.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from maestro_schemas.names import MARK_DIGITS, NO_MARK, canonical_id, is_id, key_digest

from .marks import Marks
from .sent_ids import Sent, SentIds

_OF_A_DELIVERY = frozenset({"confirmed", "deleted", "expired"})
_UNRELATED = 6


class NewNames(NamedTuple):
    """The new names of a message."""

    id: str
    thread: str | None


class Translation:
    """From old ids to new ones."""

    def __init__(self, marks: Marks, sent: SentIds) -> None:
        self._marks = marks
        self._sent = sent

    def mark_of(self, session: str) -> str:
        """The mark of a session."""
        return self._marks.of(session)

    def new_id(self, sender: str, old: str) -> str:
        """The new id of a sender's message."""
        mark = self._marks.of(sender)
        new = canonical_id(old, mark)
        # An old id that happened to end with the mark may stand beside the one without it.
        if new == old and self._sent.has(sender, old[: -MARK_DIGITS - 1]):
            return f"k_{key_digest(old)}_{mark}"
        return new

    def referred(self, old: str, sender: str, receiver: str) -> str | None:
        """The new id of the message that `sender` meant by `old` in a message to `receiver`; None if it could be
        several, or none."""
        found = self._sent.find(old)
        if not found:
            return None
        nearest = min(found, key=lambda one: _distance(one, sender, receiver))
        if len(found) > 1 and _distance(nearest, sender, receiver) == _UNRELATED:
            return None
        return self.new_id(nearest.sender, old)

    def thread(self, old: str, sender: str, receiver: str) -> str:
        """The new id of a thread in which `sender` wrote to `receiver`."""
        return self.referred(old, sender, receiver) or canonical_id(old, NO_MARK)

    def message(self, document: Any) -> NewNames | None:
        """Translate a Message in place; None if it is none."""
        match document:
            case {"id": str(old), "from": str(sender), "to": str(receiver)} if is_id(old) and is_id(sender):
                pass
            case _:
                return None
        metadata = document.get("metadata")
        thread = None
        if isinstance(metadata, dict):
            answered, root = metadata.get("inReplyTo"), metadata.get("threadId")
            if isinstance(answered, str) and is_id(answered):
                metadata["inReplyTo"] = self.thread(answered, sender, receiver)
            if isinstance(root, str) and is_id(root):
                # The thread's first message is often the one that was answered: both have one name.
                thread = metadata["inReplyTo"] if root == answered else self.thread(root, sender, receiver)
                metadata["threadId"] = thread
        document["id"] = self.new_id(sender, old)
        return NewNames(document["id"], thread)

    def event(self, line: dict[str, Any]) -> None:
        """Translate an event in place. A refused send has no message: its id stays what its sender called it."""
        old, sender, receiver = line.get("id"), line.get("from"), line.get("to")
        if not (isinstance(old, str) and isinstance(sender, str)) or line.get("event") == "message.refused":
            return
        line["id"] = self.new_id(sender, old)
        root = line.get("threadId")
        if isinstance(root, str) and isinstance(receiver, str):
            line["threadId"] = self.thread(root, sender, receiver)

    def record(self, record: Any) -> None:
        """Translate a record of the journal in place."""
        match record:
            case {"type": "accepted", "message": message}:
                self.message(message)
            case {"type": "session", "stored": {"session": {"id": str(session)}}}:
                salt = self._marks.salt(session)
                if salt:
                    record["stored"]["salt"] = salt
            case {"type": kind, "id": str(old), "sender": str(sender)} if kind in _OF_A_DELIVERY:
                record["id"] = self.new_id(sender, old)

    def queued(self, sender: str, outgoing: Any) -> bool:
        """Translate a queued send in place; whether it changed. Its id stays: it is its sender's key."""
        match outgoing:
            case {"to": str(receiver), "metadata": {"inReplyTo": str(old)}}:
                new = self.referred(old, sender, receiver)
                if new is not None and new != old:
                    outgoing["metadata"]["inReplyTo"] = new
                    return True
        return False


def _distance(found: Sent, sender: str, receiver: str) -> int:
    """How near a message is to one from `sender` to `receiver`: what they sent to each other is nearest, then what
    the sender got or sent, then what the receiver did."""
    if found == (receiver, sender):
        return 0
    if found == (sender, receiver):
        return 1
    if found.receiver == sender:
        return 2
    if found.sender == sender:
        return 3
    if found.sender == receiver:
        return 4
    return 5 if found.receiver == receiver else _UNRELATED
