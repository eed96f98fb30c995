"""Recorded data: a data directory as one JSON document, and everything that clients can see of it.

Rule: it speaks to a broker by the wire alone (M1 over a libzmq DEALER), so it reads a broker of any commit.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import stat
from typing import Any

import msgpack
import zmq

from maestro_schemas.names import canonical_id, mark_of

# Not part of the mail: a broker makes them at its start, and they name paths of one machine.
LEFT_OUT = ("endpoints", "logs", "messages/journal/reserve", "messages/journal/spare", "server-url")
ALL_STATUSES = ["pending", "delivered", "read", "failed", "expired"]
REPLY_MS = 20_000


class Wire:
    """One connection to a broker: requests and replies as plain maps."""

    def __init__(self, router: str) -> None:
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.connect(router)
        self._numbers = itertools.count(1)

    def close(self) -> None:
        self._socket.close()

    def call(
        self, command: str, body: dict[str, Any], *, session: str | None = None, token: str | None = None
    ) -> dict[str, Any]:
        """The reply's body; of an error, its status and code. `session` speaks, without one the operator."""
        speaker = {name: value for name, value in (("session", session), ("token", token)) if value is not None}
        packed = msgpack.packb({**body, "as": speaker})
        request_id = str(next(self._numbers)).encode()
        self._socket.send_multipart([b"M1", request_id, command.encode(), packed])
        assert self._socket.poll(REPLY_MS), f"no answer to {command}"
        _, answered, status, reply = self._socket.recv_multipart()
        assert answered == request_id
        found: dict[str, Any] = msgpack.unpackb(reply)
        return found if int(status) < 400 else {"status": int(status), "code": found["code"]}


def pack(root: str) -> dict[str, Any]:
    """Every file, folder and link below `root`, by path. Trailing zeros are counted, not listed."""
    found: dict[str, Any] = {}
    for folder, names, files in os.walk(root):
        for name in sorted(names + files):
            path = os.path.join(folder, name)
            below = os.path.relpath(path, root)
            if below.startswith(LEFT_OUT):
                continue
            mode = f"{stat.S_IMODE(os.lstat(path).st_mode):04o}"
            if os.path.islink(path):
                found[below] = {"link": os.readlink(path)}
            elif os.path.isdir(path):
                found[below] = {"mode": mode}
            else:
                with open(path, "rb") as file:
                    found[below] = {"mode": mode, **_content(file.read())}
    return dict(sorted(found.items()))


def _content(raw: bytes) -> dict[str, Any]:
    body = raw.rstrip(b"\0")
    zeros = {"zeros": len(raw) - len(body)} if len(body) < len(raw) else {}
    try:
        return {"text": body.decode(), **zeros}
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(body).decode(), **zeros}


def unpack(files: dict[str, Any], root: str) -> None:
    """The inverse of `pack`."""
    os.makedirs(root, mode=0o700)
    for below, entry in files.items():
        path = os.path.join(root, below)
        if "link" in entry:
            os.symlink(entry["link"], path)
            continue
        if "text" not in entry and "base64" not in entry:
            os.mkdir(path)
        else:
            body = entry["text"].encode() if "text" in entry else base64.b64decode(entry["base64"])
            with open(path, "wb") as file:
                file.write(body + b"\0" * entry.get("zeros", 0))
        os.chmod(path, int(entry["mode"], 8))


def observe(wire: Wire, sessions: list[str], ids: list[str], repeats: list[dict[str, Any]]) -> dict[str, Any]:
    """What clients can see of these mailboxes and messages, and the answers to sends that are repeated.

    `repeats`: for each, `session`, `token` and the `message` as it was sent the first time.
    """
    listed = wire.call("session.list", {})["sessions"]
    events = wire.call("events", {"after": 0, "limit": 1000})
    assert not events["hasMore"]
    stats = wire.call("stats", {})["stats"]
    return {
        "sessions": [_kept(found) for found in listed if found["id"] in sessions],
        "inboxes": {
            name: wire.call("inbox", {"session": name, "since": 0, "status": ALL_STATUSES}) for name in sessions
        },
        "pages": {name: _ids(wire.call("inbox", {"session": name})) for name in sessions},
        "messages": {name: wire.call("message", {"id": name}) for name in ids},
        "threads": {name: _ids(wire.call("thread", {"id": name})) for name in ids},
        "dead": wire.call("dead", {})["messages"],
        "repeats": [
            wire.call("send", {"messages": [item["message"]]}, session=item["session"], token=item["token"])
            for item in repeats
        ],
        "events": events["events"],
        "outboxFailed": stats["outbox"]["failed"],
    }


def _kept(session: dict[str, Any]) -> dict[str, Any]:
    """A session without what ends with the broker, or is derived at each reply."""
    return {name: value for name, value in session.items() if name != "presence"} | {"lastActivity": 0}


def new_ids(recording: dict[str, Any]) -> dict[str, str]:
    """The id that each message of a recording of format 1 has since, by its old one. In a recording each is once."""
    seen = recording["seen"]
    mail = [found for inbox in seen["inboxes"].values() for found in inbox["messages"]]
    lines = [line for line in seen["events"] if "id" in line and line["event"] != "message.refused"]
    found = {item["id"]: canonical_id(item["id"], mark_of(item["from"])) for item in [*mail, *lines]}
    return found | {item["id"]: canonical_id(item["id"], mark_of("ben")) for item in recording["tail"]}


def renamed(value: Any, ids: dict[str, str]) -> Any:
    """The same with new ids, in the places and the names of fields alike."""
    if isinstance(value, dict):
        return {ids.get(name, name): renamed(item, ids) for name, item in value.items()}
    if isinstance(value, list):
        return [renamed(item, ids) for item in value]
    return ids.get(value, value) if isinstance(value, str) else value


def _ids(reply: dict[str, Any]) -> list[str]:
    return [found["id"] for found in reply.get("messages", [])] or [reply.get("code", "")]


def dumps(recording: dict[str, Any]) -> str:
    """JSON with one line for each file and each thing seen, so that a reviewer can read it."""
    parts = []
    for name, value in recording.items():
        open_, close = "[]" if isinstance(value, list) else "{}"
        lines = [f"  {json.dumps(key)}: {_line(item)}" for key, item in value.items()] if open_ == "{" else []
        lines = lines or [f"  {_line(item)}" for item in value]
        parts.append(f"{json.dumps(name)}: {open_}\n" + ",\n".join(lines) + f"\n{close}")
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
