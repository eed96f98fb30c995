"""Format 1: writes data directories as the brokers before marks did, file by file.

Rule: nothing here uses the product's own code for files, so that the two can't be wrong in the same way.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from typing import Any

import msgpack

_FIELDS = struct.Struct(">10sIQQ")


class Format1:
    """A directory of format 1 at `data`."""

    def __init__(self, data: str) -> None:
        self.data = data
        self.messages = os.path.join(data, "messages")
        self.lsn = 0
        for directory in (data, self.messages):
            os.makedirs(directory, mode=0o700, exist_ok=True)
            os.chmod(directory, 0o700)
        for name in ("by-receiver", "by-sender", "by-thread", "journal", "quarantine"):
            os.mkdir(os.path.join(self.messages, name), 0o700)
        for name in ("sessions", "timeline", "dead-letters", "outbox"):
            os.mkdir(os.path.join(data, name), 0o700)
        self.write("format", b"maestro-data 1\n")

    def write(self, below: str, content: bytes, mode: int = 0o600) -> str:
        """A file with this content; its path."""
        path = os.path.join(self.data, below)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)
        os.chmod(path, mode)
        return path

    def stored(self, session: str) -> dict[str, Any]:
        """What a session's file has."""
        found = {"id": session, "role": "worker", "projectId": "shop", "status": "idle", "startedAt": 1}
        return {"session": {**found, "lastActivity": 1}}

    def session(self, *sessions: str) -> None:
        """Sessions with their files and mailboxes."""
        for session in sessions:
            self.write(f"sessions/{session}.json", json.dumps(self.stored(session)).encode())
            os.makedirs(os.path.join(self.messages, "by-receiver", session), mode=0o700, exist_ok=True)

    def message(self, old: str, sender: str, receiver: str, **more: Any) -> dict[str, Any]:
        """A message's document."""
        found = {"id": old, "from": sender, "to": receiver, "message": f"The text of {old}.", "status": "pending"}
        return {**found, "seq": 1, "createdAt": 1_000, **more}

    def mail(self, old: str, sender: str, receiver: str, *, deleted: bool = False, **more: Any) -> dict[str, Any]:
        """A filed message with its links; of a deleted one, the links and the lines of the timeline."""
        document = self.message(old, sender, receiver, **more)
        if not deleted:
            mode = 0o600 if document["status"] == "pending" else 0o400
            self.write(f"messages/by-receiver/{receiver}/{old}.json", json.dumps(document).encode(), mode)
        self.link("by-sender", sender, old, receiver)
        thread = document.get("metadata", {}).get("threadId")
        if thread is not None:
            self.link("by-thread", thread, old, receiver)
        line: dict[str, Any] = {"id": old, "from": sender, "to": receiver, "seq": 1} | (
            {"threadId": thread} if thread else {}
        )
        self.event("message.accepted", **line)
        return document

    def link(self, kind: str, folder: str, old: str, receiver: str) -> None:
        """A link to a message."""
        directory = os.path.join(self.messages, kind, folder)
        os.makedirs(directory, mode=0o700, exist_ok=True)
        os.symlink(f"../../by-receiver/{receiver}/{old}.json", os.path.join(directory, f"{old}.json"))

    def event(self, name: str, *, day: str = "2026-11-30", folder: str = "timeline", **fields: Any) -> None:
        """A line of the timeline."""
        self.lsn += 1
        with open(os.path.join(self.data, folder, f"{day}.jsonl"), "a", encoding="utf-8") as file:
            file.write(json.dumps({"lsn": self.lsn, "at": 1_000, "event": name, **fields}) + "\n")

    def heads(self, lsn: int, mailboxes: dict[str, dict[str, int]] | None = None) -> None:
        """A checkpoint that covers the records up to `lsn`."""
        body = msgpack.packb({"lsn": lsn, "at": 1_000, "mailboxes": mailboxes or {}, "sends": {}})
        self.write("heads", zlib.crc32(body).to_bytes(4, "big") + body)

    def segment(self, first_lsn: int, bodies: list[bytes], *, version: int = 1, synced: int | None = None) -> str:
        """A segment of the journal with these records; its path."""
        content = b""
        for lsn, body in enumerate(bodies, first_lsn):
            header = _FIELDS.pack(b"\xc1" * 9 + b"R", len(body), lsn, first_lsn - 1 if synced is None else synced)
            content += header + zlib.crc32(body, zlib.crc32(header)).to_bytes(4, "big") + body
        start = struct.pack(">8sIQQ", b"MAESTROJ", version, first_lsn, 1 << 16)
        start += zlib.crc32(start).to_bytes(4, "big")
        return self.write(f"messages/journal/{first_lsn:020d}.seg", (start + content).ljust(1 << 16, b"\0"))

    def fill(self, count: int, sessions: int) -> None:
        """`count` messages among `sessions` sessions, with everything that a broker had written for them. Each tenth
        answers the one before; each third is pending."""
        names = [f"w{number}" for number in range(sessions)]
        self.session(*names)
        for name in names:
            os.makedirs(os.path.join(self.messages, "by-sender", name), mode=0o700, exist_ok=True)
        heads = {name: {"seq": 0, "pending": 0, "unoffered": 0, "sent_ms": 0, "got_ms": 0} for name in names}
        days: list[list[str]] = [[] for _ in range(28)]
        sender = receiver = old = ""
        for number in range(count):
            answered, thread = "", ""
            if number % 10 == 9:
                sender, receiver, answered = receiver, sender, old
                thread = f',"threadId":"{answered}"'
            else:
                sender, receiver = names[number * 7 % sessions], names[(number * 13 + 1) % sessions]
            old = f"msg_{1_700_000_000_000 + number}_{number:09d}"
            head = heads[receiver]
            head["seq"] += 1
            heads[sender]["sent_ms"] = head["got_ms"] = 1_700_000_000_000 + number
            is_pending = number % 3 == 0
            head["pending"] += is_pending
            head["unoffered"] += is_pending
            text = (
                f'{{"id":"{old}","from":"{sender}","to":"{receiver}","message":"Report {number}: all tests pass, and '
            )
            text += f'two remarks are in the review.","status":"{"pending" if is_pending else "delivered"}",'
            text += f'"seq":{head["seq"]},"createdAt":{1_700_000_000_000 + number}'
            text += "" if is_pending else ',"offeredAt":1,"deliveredAt":1'
            text += f',"metadata":{{"inReplyTo":"{answered}"{thread}}}}}\n' if answered else "}\n"
            path = f"{self.messages}/by-receiver/{receiver}/{old}.json"
            fd = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600 if is_pending else 0o400)
            os.write(fd, text.encode())
            os.close(fd)
            target = f"../../by-receiver/{receiver}/{old}.json"
            os.symlink(target, f"{self.messages}/by-sender/{sender}/{old}.json")
            if answered:
                os.mkdir(f"{self.messages}/by-thread/{answered}", 0o700)
                os.symlink(target, f"{self.messages}/by-thread/{answered}/{old}.json")
            line = f'"at":1,"id":"{old}","from":"{sender}","to":"{receiver}","seq":{head["seq"]}'
            day = days[number * 28 // count]
            day.append(f'{{"lsn":{self.lsn + 1},"event":"message.accepted",{line}{thread}}}\n')
            self.lsn += 1
            if not is_pending:
                for kind in ("offered", "delivered"):
                    self.lsn += 1
                    day.append(f'{{"lsn":{self.lsn},"event":"message.{kind}",{line}}}\n')
        for index, lines in enumerate(days, 1):
            self.write(f"timeline/2026-11-{index:02}.jsonl", "".join(lines).encode())
        for name, head in heads.items():
            if head["unoffered"]:
                self.write(f"messages/by-receiver/{name}/.pending", b"")
        self.heads(self.lsn, heads)
        self.segment(self.lsn + 1, [])


def record(kind: str, /, **fields: Any) -> bytes:
    """The body of a record."""
    packed: bytes = msgpack.packb({"type": kind, **fields})
    return packed
