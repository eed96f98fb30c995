"""The replies, notices and files of a running broker match the schemas and PROTOCOL.md."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from typing import TYPE_CHECKING, Any

import jsonschema
import msgpack
import pytest
import zmq

from maestro_clients.outbox import outbox_files
from maestro_clients.protocol.callers import Caller
from maestro_clients.protocol.new_ids import new_message_id
from maestro_schemas.commands import REQUESTS
from maestro_schemas.errors import MaestroError
from maestro_schemas.generators import json_schema
from support.post_office import eventually, own_id

if TYPE_CHECKING:
    from maestro_schemas.documents import OutgoingDoc
    from support.post_office import PostOffice

SCHEMAS = json_schema.schemas()
FILE = b"the content of a file"
DIGEST = hashlib.sha256(FILE).hexdigest()
ATTACHED = {"name": "a.txt", "size": len(FILE), "type": "text/plain", "sha256": DIGEST}
METADATA = {
    "taskId": "task_456",
    "type": "request",
    "priority": "high",
    "requiresAck": True,
    "data": {"a": [1, None]},
}


def errors(name: str, document: Any) -> list[str]:
    """The validation errors of a document."""
    validator = jsonschema.Draft202012Validator(SCHEMAS[f"{name}.schema.json"])
    return [error.message for error in validator.iter_errors(document)]


def files(directory: str, suffix: str) -> list[Any]:
    """The JSON documents in the files below a directory; of a `.jsonl` file, one per line."""
    found: list[Any] = []
    for folder, _, names in os.walk(directory):
        for name in sorted(names):
            if name.endswith(suffix):
                with open(os.path.join(folder, name), encoding="utf-8") as file:
                    content = file.read()
                found += map(json.loads, content.splitlines() if suffix == ".jsonl" else [content])
    return found


def conversation(office: PostOffice) -> list[tuple[str, dict[str, Any]]]:
    """The reply to each command except `shutdown`, from a conversation in which no reply is empty."""
    ann, bob, operator = office.client("ann"), office.client("bob"), office.client()
    first, second, fourth = (own_id("ann", new_message_id()) for _ in range(3))
    third = own_id("bob", new_message_id())
    bodies: list[tuple[Any, str, dict[str, Any]]] = [
        (operator, "hello", {"client": "test"}),
        (
            ann,
            "send",
            {
                "messages": [
                    {"id": first, "to": "bob", "message": "Ready?", "metadata": METADATA, "ttlMs": 60_000},
                    {"id": second, "to": "bob", "message": "Again"},
                    {"id": first, "to": "bob", "message": "Ready?", "metadata": METADATA, "ttlMs": 60_000},
                    {"id": third, "to": "stranger", "message": "Lost"},
                    {"id": "a/b", "to": "bob", "message": "Odd"},
                ]
            },
        ),
        (bob, "inbox", {"leaseMs": 1_000, "reader": "r"}),
        (bob, "confirm", {"ids": [first, "gone"], "kind": "read", "via": "test"}),
        (ann, "message", {"id": first}),
        (bob, "send", {"messages": [{"id": third, "to": "ann", "message": "Yes", "metadata": {"inReplyTo": first}}]}),
        (ann, "thread", {"id": third}),
        (operator, "search", {"query": "-nothing from:ann"}),
        (bob, "threads", {}),
        (ann, "analytics", {}),
        (operator, "index.rebuild", {}),
        (ann, "receipt", {"id": first}),
        (ann, "messages", {"limit": 5}),
        (ann, "dead", {"limit": 5}),
        (bob, "delete", {"ids": [second, "gone"]}),
        (ann, "session.start", {"id": "carl", "name": "carl", "token": "t", "taskIds": ["x"], "metadata": {"a": 1}}),
        (
            bob,
            "session.touch",
            {
                "status": "working",
                "needsInput": {"active": True, "message": "Which?"},
                "note": {"type": "progress", "message": "Half way", "timestamp": 1},
                "agent": "codex",
                "agentSessionId": "1",
                "pid": 7,
                "cwd": "/",
            },
        ),
        (operator, "session.end", {"id": "carl", "status": "stopped"}),
        (bob, "session.rename", {"name": "robert"}),
        (bob, "session.get", {}),
        (operator, "session.list", {}),
        (operator, "presence", {}),
        (operator, "messages", {"session": "bob"}),
        (ann, "preview", {"to": ["bob", "@project"]}),
        (ann, "blob.stat", {"sha256": DIGEST, "size": len(FILE)}),
        (ann, "blob.put", {"sha256": DIGEST, "size": len(FILE), "offset": 0, "data": FILE}),
        (ann, "send", {"messages": [{"id": fourth, "to": "bob", "message": "Here", "attachments": [ATTACHED]}]}),
        (bob, "blob.get", {"id": fourth, "name": "a.txt"}),
        (ann, "group.set", {"name": "reviews", "create": True, "add": ["ann", "robert"]}),
        (ann, "group.set", {"name": "reviews", "remove": ["ann"]}),
        (bob, "group.get", {"name": "reviews"}),
        (operator, "group.list", {"members": True}),
        (ann, "group.delete", {"name": "reviews"}),
        (operator, "events", {"after": 0}),
        (operator, "stats", {}),
        (operator, "outbox.drain", {}),
        (operator, "prune", {}),
    ]
    return [(command, client.call(command, body)) for client, command, body in bodies]


def test_each_reply(open_office: PostOffice) -> None:
    replies = conversation(open_office)
    replies.append(("shutdown", {"pid": open_office.client().shutdown()}))
    assert {command for command, _ in replies} == set(REQUESTS)
    for command, reply in replies:
        # A schema describes JSON, which has no bytes.
        shown = {name: base64.b64encode(v).decode() if isinstance(v, bytes) else v for name, v in reply.items()}
        assert errors("replies", {command: shown}) == [], command
    sent = [[result["status"] for result in reply["results"]] for command, reply in replies if command == "send"]
    assert sent == [[201, 201, 200, 404, 400], [201], [201]]


def test_each_error(open_office: PostOffice) -> None:
    client = open_office.client("ann")
    for command, body in (("message", {"id": "gone"}), ("inbox", {"colour": 1}), ("nothing", {}), ("confirm", {})):
        with pytest.raises(MaestroError) as caught:
            client.call(command, body)
        assert errors("error", caught.value.body()) == []
        assert caught.value.hint


def test_each_notice(open_office: PostOffice) -> None:
    with zmq.Context() as context, context.socket(zmq.SUB) as watcher:
        watcher.setsockopt(zmq.LINGER, 0)
        watcher.setsockopt(zmq.RCVTIMEO, 5_000)
        watcher.connect(open_office.router().replace("broker.sock", "notices.sock"))
        watcher.setsockopt(zmq.SUBSCRIBE, b"bob|")
        received = [watcher.recv_multipart()]
        conversation(open_office)
        while received[-1][0] != b"bob|session.changed":
            received.append(watcher.recv_multipart())
    events = [topic.decode().removeprefix("bob|") for topic, _ in received]
    # The subscription makes bob watched, which is a notice too.
    assert events[:3] == ["head", "session.presence", "message.accepted"]
    assert {"message.read", "message.deleted"} <= set(events)
    for (_, body), event in zip(received, events, strict=True):
        document = msgpack.unpackb(body)
        assert errors("event", document) == []
        assert document["event"] == event


def test_each_file(open_office: PostOffice) -> None:
    conversation(open_office)
    queued = outbox_files.queue(
        open_office.data, Caller("ann", "t"), {"id": "msg_q", "to": "bob", "message": "Later", "metadata": {}}, 1
    )
    with open(queued, "rb") as file:
        assert errors("outbox-entry", json.loads(file.read())) == []
    open_office.stop()
    found = {
        "message": files(os.path.join(open_office.data, "messages", "by-receiver"), ".json"),
        "session-file": files(os.path.join(open_office.data, "sessions"), ".json"),
        "event": files(os.path.join(open_office.data, "timeline"), ".jsonl"),
    }
    for schema, documents in found.items():
        assert documents, f"there is no file for {schema}"
        for document in documents:
            assert errors(schema, document) == []


def test_stats_have_the_fields_of_the_page(open_office: PostOffice) -> None:
    page = os.path.join(os.path.dirname(__file__), os.pardir, os.pardir, os.pardir, "schemas", "PROTOCOL.md")
    with open(page, encoding="utf-8") as file:
        section = file.read().split("### `stats`")[1].split("\n###")[0]
    # The list is the first paragraph; the others explain it.
    listed = re.sub(r"\([^()]*\)", "", section.split("`{stats}`:")[1].split("\n\n")[0])
    stats = open_office.client().stats()
    assert set(stats) == set(re.findall(r"`(\w+)`", listed))
    for name, inner in re.findall(r"`(\w+)` \(((?:`\w+`(?:, )?\s*)+)\)", section):
        assert set(stats[name]) >= set(re.findall(r"`(\w+)`", inner)), name


def test_a_refused_outbox_file_matches_the_schema(post_office: PostOffice) -> None:
    post_office.start()
    post_office.session("ann", token="tok_of_ann")
    post_office.stop()
    outgoing: OutgoingDoc = {"id": "msg_q", "to": "ann", "message": "Later"}
    # What a token does not prove is no message of its session, so that it stays a file of the outbox.
    path = outbox_files.queue(post_office.data, Caller("ann", "tok_of_another"), outgoing, 1)
    post_office.start()
    failed = path.removesuffix(".json") + ".failed"
    eventually(lambda: os.path.exists(failed), "the entry is refused permanently")
    with open(failed, "rb") as file:
        assert errors("outbox-entry", json.loads(file.read())) == []
