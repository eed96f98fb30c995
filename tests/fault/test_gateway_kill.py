"""The broker is killed under HTTP load: every message with a 201 is in an inbox, every failure is a 503 or a dropped
connection, and service resumes without a restart of the gateway."""

from __future__ import annotations

import http.client
import os
import random
import threading
from typing import TYPE_CHECKING

from maestro_clients.processes.broker_process import find
from support.gateways import Gateway, send
from support.post_office import eventually

if TYPE_CHECKING:
    import pytest

    from support.post_office import PostOffice

KILLS = 5
SENDERS = 6
RECEIVERS = 3


class _Sender(threading.Thread):
    """Posts one message after another until `stopping` is set; `failure` is the error that ended it earlier."""

    def __init__(self, gateway: Gateway, number: int) -> None:
        super().__init__(daemon=True)
        self._gateway = gateway
        self._number = number
        self.stopping = threading.Event()
        self.accepted: dict[str, str] = {}
        self.unavailable = self.dropped = 0
        self.failure: BaseException | None = None

    def run(self) -> None:
        count = 0
        connection = http.client.HTTPConnection(*self._gateway.address, timeout=20)
        try:
            while not self.stopping.is_set():
                count += 1
                text = f"{self._number}-{count}"
                path = f"/api/sessions/to_{count % RECEIVERS}/messages"
                try:
                    answer = send(connection, "POST", path, {"message": text}, headers={"X-Session-ID": "boss"})
                except (ConnectionError, http.client.HTTPException):
                    self.dropped += 1
                    connection.close()
                    continue
                if answer.status == 201:
                    self.accepted[answer.json["id"]] = text
                else:
                    assert answer.status == 503, answer
                    assert "retry-after" in answer.headers
                    assert answer.json["statusCode"] == 503
                    self.unavailable += 1
        except BaseException as error:  # noqa: BLE001 - the test raises it
            self.failure = error
        finally:
            connection.close()


def test_the_broker_is_killed_under_http_load(post_office: PostOffice, capsys: pytest.CaptureFixture[str]) -> None:
    seed = int(os.environ.get("MAESTRO_SEED", "0")) or random.randrange(1, 1 << 31)
    choice = random.Random(seed)
    post_office.environ["MAESTRO_AUTOSTART"] = "0"
    post_office.start()
    with post_office.client() as operator:
        operator.start_session("boss", role="orchestrator")
        for number in range(RECEIVERS):
            operator.start_session(f"to_{number}")
    with Gateway(post_office) as gateway:
        senders = [_Sender(gateway, number) for number in range(SENDERS)]
        for sender in senders:
            sender.start()

        def accepted() -> int:
            return sum(len(sender.accepted) for sender in senders)

        for _ in range(KILLS):
            wanted = accepted() + choice.randrange(100, 400)
            eventually(lambda wanted=wanted: accepted() >= wanted, "messages are accepted", 60.0)  # type: ignore[misc]
            post_office.kill()
            before = sum(sender.unavailable for sender in senders)
            eventually(lambda before=before: sum(s.unavailable for s in senders) > before, "a 503")  # type: ignore[misc]
            post_office.start()
        wanted = accepted() + 200
        eventually(lambda: accepted() >= wanted, "service has resumed", 60.0)
        for sender in senders:
            sender.stopping.set()
        for sender in senders:
            sender.join(30)
            assert sender.failure is None, sender.failure
    acknowledged = {message_id: text for sender in senders for message_id, text in sender.accepted.items()}
    found: dict[str, str] = {}
    duplicated = 0
    with post_office.client() as operator:
        for number in range(RECEIVERS):
            since, more = 0, True
            while more:
                page = operator.inbox(session=f"to_{number}", since=since)
                for message in page["messages"]:
                    duplicated += message["id"] in found
                    found[message["id"]] = message["message"]
                since, more = page["upTo"], page["hasMore"]
    lost = [message_id for message_id, text in acknowledged.items() if found.get(message_id) != text]
    with capsys.disabled():
        print(
            f"\n  {KILLS} kills of the broker under HTTP: {len(acknowledged):,} answered 201, {len(lost)} lost, "
            f"{duplicated} duplicated; "
            f"{sum(s.unavailable for s in senders)} times 503, {sum(s.dropped for s in senders)} dropped; seed {seed}"
        )
    assert not lost
    assert not duplicated


def test_the_gateway_starts_a_broker_where_it_may(post_office: PostOffice) -> None:
    """As a command does. A request without a broker gets a 503, and its repeat succeeds."""
    post_office.start()
    post_office.sessions("ann", "bob")
    with Gateway(post_office) as gateway:
        post_office.kill()
        headers = {"X-Session-ID": "ann", "Idempotency-Key": "one"}

        def ask() -> int:
            return gateway.ask("POST", "/api/sessions/bob/messages", {"message": "hello"}, headers=headers).status

        assert ask() == 503
        eventually(lambda: ask() == 201, "it is sent")
        assert find(post_office.data) is not None
        assert gateway.ask("GET", "/api/sessions/bob/messages").json["count"] == 1
