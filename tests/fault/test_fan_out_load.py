"""Requests of 1,024 deliveries under load: back-pressure, the limits, the counters, and a full disk."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from fault import disks
from fault.ledger import read_mailbox, spool_ids
from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import DELIVERIES_MAX
from support.post_office import eventually, scratch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.post_office import PostOffice

CROWD = [f"crowd_{number}" for number in range(256)]
SENDERS = ("lead_0", "lead_1", "lead_2")
REQUESTS = 12
A_REQUEST = DELIVERIES_MAX // len(CROWD)
# Holds a few requests, if each delivery counts, and all of them if each record did.
BACKLOG_BYTES = 2 << 20
DISK_BYTES = 96 << 20
TEXT = "x" * 300


def _begin(office: PostOffice, **settings: str) -> None:
    office.environ |= {"MAESTRO_FANOUT_MAX": str(len(CROWD)), "MAESTRO_PENDING_MAX": "100000", **settings}
    office.start()
    with office.client() as operator:
        for session in CROWD:
            operator.start_session(session)
        for session in SENDERS:
            operator.start_session(session, role="orchestrator")
    eventually(lambda: _backlog(office) == 0, "the sessions are filed", 60.0)


def _backlog(office: PostOffice) -> int:
    with office.client() as operator:
        return int(operator.stats()["filingBacklog"])


def _messages(sender: str, number: int, count: int = A_REQUEST) -> list[dict[str, Any]]:
    ids = [f"{sender}-{number}-{each}" for each in range(count)]
    return [{"id": one, "to": "@workers", "message": TEXT, "confirm": True} for one in ids]


class Sender(threading.Thread):
    """Sends its requests one by one; one that is refused for now is repeated."""

    def __init__(self, office: PostOffice, session: str) -> None:
        super().__init__(daemon=True)
        self._office = office
        self._session = session
        self.accepted: dict[str, dict[str, int]] = {}
        self.refusals: list[str] = []
        self.failure: BaseException | None = None

    def run(self) -> None:
        try:
            with self._office.client(self._session, timeout_s=30.0) as client:
                for number in range(REQUESTS):
                    waiting = _messages(self._session, number)
                    while waiting:
                        reply: Any = client.call("send", {"messages": waiting})
                        both = zip(waiting, reply["results"], strict=True)
                        waiting = [one for one, result in both if not self._took(result)]
        except BaseException as error:  # noqa: BLE001 - the test raises it
            self.failure = error

    def _took(self, result: dict[str, Any]) -> bool:
        if "error" in result:
            assert result["error"]["code"] == "BUSY", result
            self.refusals.append(result["error"]["code"])
            return False
        self.accepted[result["id"]] = {each["to"]: each["seq"] for each in result["recipients"]}
        return True


@pytest.mark.timeout(300)
def test_each_delivery_counts_in_the_backlog(fault_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    """The spool writer is slower than three senders; they are slowed down and refused for a while, and nothing is
    lost. All counters fit the mail, before and after a kill."""
    office = fault_office
    _begin(office, MAESTRO_FILING_BACKLOG_BYTES_MAX=str(BACKLOG_BYTES))
    with office.client("lead_0") as lead, pytest.raises(MaestroError) as caught:
        lead.call("send", {"messages": _messages("lead_0", 999, A_REQUEST + 1)})
    assert (caught.value.code, caught.value.limit) == ("TOO_MANY", DELIVERIES_MAX)
    senders = [Sender(office, session) for session in SENDERS]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join(240.0)
        assert sender.failure is None, sender.failure
    accepted = {message_id: reached for sender in senders for message_id, reached in sender.accepted.items()}
    deliveries = sum(map(len, accepted.values()))
    assert deliveries == len(SENDERS) * REQUESTS * DELIVERIES_MAX
    refused = sum(len(sender.refusals) for sender in senders)
    assert refused, "the backlog did not reach its limit: a delivery counts too little"
    with office.client() as operator:
        assert operator.stats()["messages"]["accepted"] == deliveries
    _check(office, accepted)
    office.kill()
    office.start()
    _check(office, accepted)
    eventually(lambda: _backlog(office) == 0, "all is filed", 120.0)
    for session in CROWD[::64]:
        assert spool_ids(office.data, session).keys() == accepted.keys()
    with capsys.disabled():
        print(f"\n  {deliveries:,} deliveries of {len(accepted)} messages; {refused} were refused with BUSY before")


def _check(office: PostOffice, accepted: dict[str, dict[str, int]]) -> None:
    with office.client(timeout_s=60.0) as operator:
        for session in CROWD:
            page = operator.inbox(session=session, limit=1)
            assert (page["pending"], page["unoffered"]) == (len(accepted), len(accepted)), session
            assert os.path.exists(os.path.join(office.data, "messages", "by-receiver", session, ".pending"))
        for session in CROWD[::32]:
            found = {message["id"]: message["seq"] for message in read_mailbox(operator, session)}
            assert found == {message_id: reached[session] for message_id, reached in accepted.items()}


@pytest.fixture
def full_office() -> Iterator[PostOffice]:
    """A post office on a small disk."""
    disks.require()
    with disks.Disk(DISK_BYTES) as disk:
        made = scratch(f"{disk.path}/data")
        try:
            yield made
        finally:
            made.close()


@pytest.mark.timeout(300)
def test_a_full_disk_refuses_whole_messages(full_office: PostOffice) -> None:
    """A message to 256 is accepted for all or refused for all; after space is freed, the rest is accepted, and every
    mailbox has its marker."""
    office = full_office
    _begin(office, MAESTRO_SEGMENT_BYTES=str(1 << 18), MAESTRO_DISK_RESERVE_BYTES=str(1 << 20))
    accepted: dict[str, dict[str, int]] = {}
    code = ""
    stuffing = os.path.join(office.data, "stuffing")
    with office.client("lead_0", timeout_s=60.0) as lead:
        for number in range(400):
            if number == 2:
                disks.fill(stuffing)
            [message] = _messages("lead_0", number, 1)
            reply: Any = lead.call("send", {"messages": [message]})
            [result] = reply["results"]
            if "error" in result:
                code = result["error"]["code"]
                break
            accepted[result["id"]] = {each["to"]: each["seq"] for each in result["recipients"]}
        assert code == "STORAGE_FULL"
        os.unlink(stuffing)

        def is_taken() -> bool:
            reply: Any = lead.call("send", {"messages": [message]})
            [result] = reply["results"]
            if "error" in result:
                return False
            accepted[result["id"]] = {each["to"]: each["seq"] for each in result["recipients"]}
            return True

        eventually(is_taken, "sending resumes by itself", 60.0)
    assert {len(reached) for reached in accepted.values()} == {len(CROWD)}

    def all_marked() -> bool:
        receivers = os.path.join(office.data, "messages", "by-receiver")
        return all(os.path.exists(os.path.join(receivers, session, ".pending")) for session in CROWD)

    eventually(all_marked, "markers that found no space are set later", 30.0)
    _check(office, accepted)
