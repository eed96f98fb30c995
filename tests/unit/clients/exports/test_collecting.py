"""What an export asks for, and what it takes of the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from maestro_clients.exports import collecting
from maestro_clients.exports.collecting import Collection, Export, ExportQuery
from maestro_clients.protocol.callers import Caller
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Callable

CALLER = Caller("s_ann", "t")


def said(number: int, **more: Any) -> dict[str, Any]:
    entry: dict[str, Any] = {name: more.pop(name) for name in ("receivers", "counts") if name in more}
    message = {
        "id": f"msg_{number}",
        "from": "s_ann",
        "to": "s_ben",
        "message": "text",
        "status": "read",
        "createdAt": number * 1_000,
        **more,
    }
    return {"lsn": number, "message": message, **entry}


def page(*numbers: int, more: bool = False, before: int = 0) -> dict[str, Any]:
    return {"messages": [said(number) for number in numbers], "people": {}, "hasMore": more, "before": before}


def carried_out(query: ExportQuery, answer: Callable[[str, dict[str, Any]], Any]) -> tuple[Export, list[Any]]:
    """The export, and the requests, each as its command and its body."""
    collection = Collection(query, CALLER)
    steps, asked = collection.steps(), []
    try:
        request = next(steps)
        while True:
            command, body, _read, caller = request
            assert caller is CALLER
            asked.append((command, body))
            try:
                outcome = answer(command, body)
            except MaestroError as error:
                request = steps.throw(error)
            else:
                request = steps.send(outcome)
    except StopIteration as end:
        assert collection.found == len(end.value.entries)
        return end.value, asked


def ids(export: Export) -> list[str]:
    return [entry.message["id"] for entry in export.entries]


def test_pages_from_the_newest_back() -> None:
    pages = [page(3, 4, more=True, before=3), page(1, 2)]
    export, asked = carried_out(ExportQuery(since=1, until=9_000), lambda _command, _body: pages.pop(0))
    assert ids(export) == ["msg_1", "msg_2", "msg_3", "msg_4"]
    assert not export.has_more
    assert [body.get("before") for _, body in asked] == [None, 3]
    assert asked[0][1]["since"] == 1
    assert asked[0][1]["counts"] is True


def test_a_limit_takes_the_newest() -> None:
    export, asked = carried_out(ExportQuery(limit=2), lambda *_: page(1, 2, 3, more=True, before=1))
    assert ids(export) == ["msg_2", "msg_3"]
    assert export.has_more
    assert len(asked) == 1


def test_names_are_said_by_their_ids() -> None:
    def answer(command: str, body: dict[str, Any]) -> Any:
        if command == "session.get":
            return {"id": f"s_{body['id']}", "role": "worker", **({"name": "x"} if body["id"] == "ben" else {})}
        return page(1)

    export, asked = carried_out(ExportQuery(peer="ben", session="ann"), answer)
    assert (export.query.peer, export.query.session) == ("s_ben", "s_ann")
    assert asked[-1][1]["with"] == "s_ben"
    assert export.people == {"s_ben": {"role": "worker", "name": "x"}, "s_ann": {"role": "worker"}}
    for address in ("@reviews", "maestro"):
        export, asked = carried_out(ExportQuery(peer=address), answer)
        assert [command for command, _ in asked] == ["messages"]


def test_a_search_is_paged_and_ends_where_the_time_does() -> None:
    def answer(command: str, body: dict[str, Any]) -> Any:
        assert command == "search"
        at = body.get("before", 100)
        hits = [{**said(number), "snippet": "x"} for number in range(at - 1, at - 4, -1)]
        return {"hits": hits, "people": {}, "hasMore": at > 10, "before": at - 3}

    export, asked = carried_out(ExportQuery(query="x", since=95_000), answer)
    assert ids(export) == [f"msg_{number}" for number in range(95, 100)]
    assert len(asked) == 2
    assert "snippet" not in export.entries[0].said
    export, _ = carried_out(ExportQuery(query="x", until=12_000), answer)
    assert ids(export)[-1] == "msg_11"
    export, _ = carried_out(ExportQuery(query="x", limit=4), answer)
    assert (len(export.entries), export.has_more) == (4, True)


def test_the_texts_are_bounded_where_that_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(collecting, "EXPORT_TEXT_CHARS_MAX", 9)
    for bounded, count in ((True, 2), (False, 3)):
        export, _ = carried_out(ExportQuery(bounded=bounded), lambda *_: page(1, 2, 3))
        assert (len(export.entries), export.has_more) == (count, count == 2)


def test_a_thread_is_one_request_and_several_copies_are_one_message() -> None:
    messages = [said(1)["message"], {**said(1)["message"], "to": "s_cid", "status": "pending"}, said(2)["message"]]
    thread = {"threadId": "msg_1", "messages": messages, "hasMore": False, "people": {}}
    export, asked = carried_out(ExportQuery(thread="msg_2"), lambda *_: thread)
    assert ids(export) == ["msg_1", "msg_2"]
    assert export.query.thread == "msg_1"
    assert export.entries[0].said["receivers"] == ["s_ben", "s_cid"]
    assert export.entries[0].said["counts"] == {"read": 1, "pending": 1}
    assert [command for command, _ in asked] == ["thread"]
    assert export.entries[1].thread == "msg_2"


def test_a_long_thread_is_searched_for() -> None:
    def answer(command: str, body: dict[str, Any]) -> Any:
        if command == "thread":
            return {"threadId": "msg_1", "messages": [said(1)["message"]], "hasMore": True, "people": {}}
        assert body["query"] == "thread:msg_1"
        return {"hits": [said(2), said(1)], "people": {}, "hasMore": False, "before": 0}

    export, _ = carried_out(ExportQuery(thread="msg_1"), answer)
    assert ids(export) == ["msg_1", "msg_2"]


def test_receipts_are_asked_for_where_they_are_wanted_or_needed() -> None:
    receipt: Any = {"recipients": [{"state": "offered"}, {"state": "answered"}, {"state": "refused"}]}

    def answer(command: str, body: dict[str, Any]) -> Any:
        if command == "search":
            hits = [said(1, receivers=["a", "b"]), said(2), said(3, receivers=["a", "b"])]
            return {"hits": hits, "people": {}, "hasMore": False, "before": 0}
        if body["id"] == "msg_3":
            raise MaestroError("MESSAGE_NOT_FOUND", "it is for the sender")
        return receipt

    export, asked = carried_out(ExportQuery(query="x"), answer)
    assert [body["id"] for command, body in asked if command == "receipt"] == ["msg_1", "msg_3"]
    assert export.entries[0].said["counts"] == {"pending": 1, "read": 1, "refused": 1}
    assert [entry.receipt for entry in export.entries] == [None, None, None]
    export, _ = carried_out(ExportQuery(query="x", receipts=True), answer)
    assert [entry.receipt for entry in export.entries] == [receipt, receipt, None]


def test_an_error_of_the_broker_ends_it() -> None:
    def answer(command: str, _body: dict[str, Any]) -> Any:
        if command == "messages":
            return page(1)
        raise MaestroError("BUSY", "the disk")

    with pytest.raises(MaestroError, match="the disk"):
        carried_out(ExportQuery(receipts=True), answer)
