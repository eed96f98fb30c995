"""Uploads: nothing is sent twice, a broken upload goes on, and a message is sent again under the same id."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import pytest

from maestro_clients.attachments import uploads
from maestro_clients.attachments.outgoing_files import OutgoingFile
from maestro_clients.protocol import commands
from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import BLOB_PART_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Generator


def file(content: bytes) -> OutgoingFile:
    return OutgoingFile("a", "text/plain", content, hashlib.sha256(content).hexdigest())


class Office:
    """What a broker holds, in a few lines: the replies of `blob.stat`, `blob.put` and `send`."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}
        self.asked: list[str] = []
        # How often a send finds that the files are gone.
        self.forgets = 0
        self.takes = True

    def carry_out(self, steps: Generator[commands.Request[Any], Any, Any]) -> Any:
        try:
            request = next(steps)
            while True:
                try:
                    outcome = self._answer(*request[:2])
                except MaestroError as error:
                    request = steps.throw(error)
                else:
                    request = steps.send(outcome)
        except StopIteration as end:
            return end.value

    def _answer(self, command: str, body: dict[str, Any]) -> Any:
        self.asked.append(command)
        if command == "send":
            if self.forgets:
                self.forgets -= 1
                self.held.clear()
                raise MaestroError("BLOB_NOT_FOUND", "gone")
            return body["messages"][0]["id"]
        digest, size = body["sha256"], body["size"]
        if command == "blob.put" and self.takes:
            self.held[digest] = self.held.get(digest, b"")[: body["offset"]] + body["data"]
        held = self.held.get(digest, b"")
        whole = digest in self.held and len(held) == size
        return {"sha256": digest, "held": len(held), "whole": whole}


def test_a_file_goes_in_parts() -> None:
    office, large = Office(), file(bytes(2 * BLOB_PART_BYTES_MAX + 1))
    office.carry_out(uploads.put([large]))
    assert office.asked == ["blob.stat", "blob.put", "blob.put", "blob.put"]
    assert office.held[large.sha256] == large.content


def test_an_empty_file_is_put() -> None:
    office = Office()
    office.carry_out(uploads.put([file(b"")]))
    assert office.asked == ["blob.stat", "blob.put"]


def test_what_is_there_is_not_put_again() -> None:
    office, small = Office(), file(b"abc")
    office.held[small.sha256] = b"abc"
    office.carry_out(uploads.put([small, small]))
    assert office.asked == ["blob.stat"]


def test_a_broken_upload_goes_on_where_it_ended() -> None:
    office, large = Office(), file(b"x" * (BLOB_PART_BYTES_MAX + 10))
    office.held[large.sha256] = large.content[:BLOB_PART_BYTES_MAX]
    office.carry_out(uploads.put([large]))
    assert office.asked == ["blob.stat", "blob.put"]
    assert office.held[large.sha256] == large.content


def test_a_broker_that_takes_a_part_and_does_not_hold_it_ends_the_upload() -> None:
    office = Office()
    office.takes = False
    with pytest.raises(MaestroError) as caught:
        office.carry_out(uploads.put([file(b"abc")]))
    assert caught.value.code == "INTERNAL"


@pytest.mark.parametrize(("forgets", "puts"), [(0, 1), (1, 2)])
def test_a_message_whose_files_are_gone_is_sent_again_after_them(forgets: int, puts: int) -> None:
    office, small = Office(), file(b"abc")
    office.forgets = forgets
    request = commands.send("ann", "hello", message_id="msg_1", attachments=[small.document()])
    assert office.carry_out(uploads.sent(request, [small])) == "msg_1"
    assert office.asked.count("blob.put") == puts
    assert office.asked.count("send") == puts


def test_a_second_refusal_is_the_senders() -> None:
    office = Office()
    office.forgets = 2
    with pytest.raises(MaestroError) as caught:
        office.carry_out(uploads.sent(commands.send("ann", "hello"), [file(b"abc")]))
    assert caught.value.code == "BLOB_NOT_FOUND"


def test_another_refusal_is_not_tried_again() -> None:
    office = Office()
    steps = uploads.sent(commands.send("ann", "hello"), [])
    next(steps)
    with pytest.raises(MaestroError) as caught:
        steps.throw(MaestroError("RECEIVER_NOT_FOUND", "no ann"))
    assert caught.value.code == "RECEIVER_NOT_FOUND"
    assert office.asked == []
