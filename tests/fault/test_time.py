"""Time: the wall clock jumps an hour back or a week forward, under a running broker or between two brokers.

A real broker sees the jump: libfaketime (Debian's `faketime`) changes the process's CLOCK_REALTIME and leaves the
monotonic clocks as they are, as setting a machine's clock does.
"""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

import pytest

from fault.client_process import ClientProcess
from fault.ledger import read_mailbox
from maestro_clients.client import Client
from maestro_schemas.errors import MaestroError
from support import components
from support.post_office import eventually
from support.wall_clock import WallClock

if TYPE_CHECKING:
    from support.post_office import PostOffice

HOUR_MS = 3_600_000
WEEK_MS = 168 * HOUR_MS
JUMPS_S = pytest.mark.parametrize("jump_s", [-3_600, 604_800], ids=["an hour back", "a week forward"])
# Two times that differ by less than this are the same: a test may take this long on a busy machine.
NEAR_MS = 120_000


@pytest.fixture
def wall_clock(post_office: PostOffice) -> WallClock:
    """The wall clock of the post office's processes."""
    clock = WallClock(components.faketime_library(), os.path.join(post_office.root, "wall-clock"))
    post_office.environ.update(clock.environ)
    return clock


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _logged_ms(office: PostOffice) -> int:
    """The broker's wall clock, from the newest line of its log."""
    with open(os.path.join(office.data, "logs", "broker.log"), encoding="utf-8") as file:
        return int(json.loads(file.readlines()[-1])["at"])


def _send_until_refused(client: Client, prefix: str) -> tuple[int, float]:
    """Send until the rate limit. Returns the number of accepted sends, and the refusal's retry_after_s."""
    for number in range(1_000):
        try:
            client.send("bob", f"{prefix} {number}")
        except MaestroError as error:
            assert error.code == "RATE_LIMITED"
            assert error.retry_after_s is not None
            return number, error.retry_after_s
    raise AssertionError("no rate limit")


def _in_order(office: PostOffice, session: str) -> list[int]:
    """Check that a session's mail is in order by seq and time. Returns the times of acceptance."""
    with office.client() as operator:
        mail = read_mailbox(operator, session)
    assert [message["seq"] for message in mail] == list(range(1, len(mail) + 1))
    times_ms = [message["createdAt"] for message in mail]
    assert times_ms == sorted(times_ms)
    assert len({message["id"] for message in mail}) == len(mail)
    return times_ms


@JUMPS_S
def test_the_clock_jumps_while_the_broker_runs(post_office: PostOffice, wall_clock: WallClock, jump_s: int) -> None:
    """The rate limit, expiry and leases keep their true durations, and seqs and dates stay in order."""
    post_office.start(rate_limit=5)
    post_office.sessions("ann", "bob", "carl", "dora")
    began_ms = _now_ms()
    carl, dora = post_office.client("carl"), post_office.client("dora")
    with post_office.client("ann") as ann:
        assert _send_until_refused(ann, "before the jump")[0] == 5
    long = carl.send("dora", "lives for two hours", ttl_ms=2 * HOUR_MS)
    short = carl.send("dora", "lives for a second and a half", ttl_ms=1_500)
    leased = dora.inbox(lease_ms=60_000, reader="one")
    assert leased["count"] == 2

    wall_clock.jump(jump_s)
    with post_office.client("ann") as ann:
        accepted, wait_s = _send_until_refused(ann, "after the jump")
    assert accepted == 0
    assert 0 < wait_s <= 60
    after = carl.send("bob", "after the jump")
    assert 0 <= after["createdAt"] - began_ms < NEAR_MS
    # It expires by the monotonic clock: at its own time, not an hour later and not at once.
    eventually(lambda: post_office.status_of(short["id"]) == "expired", "the message with the short TTL has expired")
    assert _now_ms() - began_ms >= 1_500
    assert post_office.status_of(long["id"]) == "pending"
    [event] = [event for event in carl.events(0)["events"] if event["event"] == "message.expired"]
    assert 0 <= event["at"] - (short["expiresAt"]) < 5_000
    beside = dora.inbox(lease_ms=1_000, reader="other")
    assert (beside["count"], beside["leased"]) == (0, 1)

    wall_clock.jump(0)
    carl.send("bob", "after the jump back")
    times_ms = _in_order(post_office, "bob")
    assert times_ms[-1] - times_ms[0] < NEAR_MS
    wall_clock.jump(jump_s)
    post_office.stop()
    assert abs(_logged_ms(post_office) - _now_ms() - jump_s * 1_000) < NEAR_MS, "the broker did not see the jump"


@JUMPS_S
def test_ids_of_clients_whose_clock_jumps(post_office: PostOffice, wall_clock: WallClock, jump_s: int) -> None:
    """An id contains its client's time, and does not decide the order. All ids stay distinct."""
    post_office.start()
    post_office.sessions("ann", "bob")
    ids = []
    for seconds in (0, jump_s, 0):
        wall_clock.jump(seconds)
        with ClientProcess(
            post_office.environ, "send-new", post_office.router(), "ann", "bob", "20"
        ) as client_process:
            ids += [message_id for message_id, _ in client_process.lines()]
            assert client_process.wait() == 0
    stamps_ms = [int(message_id.split("_")[1]) for message_id in ids]
    assert abs(stamps_ms[20] - stamps_ms[0] - jump_s * 1_000) < NEAR_MS, "the client did not see the jump"
    with post_office.client() as operator:
        assert [message["id"] for message in read_mailbox(operator, "bob")] == ids
    assert max(_in_order(post_office, "bob")) - _now_ms() < NEAR_MS


def test_the_outbox_of_a_client_whose_clock_jumps(post_office: PostOffice, wall_clock: WallClock) -> None:
    """Messages are sent in the order of queueing, whatever their times."""
    post_office.start()
    post_office.sessions("ann", "bob")
    post_office.stop()
    queued = []
    for part, seconds in enumerate((0, 604_800, -3_600, 0)):
        wall_clock.jump(seconds)
        with ClientProcess(
            post_office.environ, "queue", post_office.data, "ann", "bob", f"part{part}", "10"
        ) as client_process:
            queued += [message_id for [message_id] in client_process.lines()]
            assert client_process.wait() == 0
    assert len(queued) == 40
    post_office.start()
    with post_office.client() as operator:
        assert [message["id"] for message in read_mailbox(operator, "bob")] == queued


def test_a_start_with_the_clock_an_hour_behind(post_office: PostOffice, wall_clock: WallClock) -> None:
    """The time never goes below that of the journal's last record, after a crash or a stop: dates do not go back, the
    rate limit counts the sends of the last minute, and a TTL does not become an hour longer."""
    post_office.start(rate_limit=5)
    post_office.sessions("ann", "bob", "carl")
    with post_office.client("ann") as ann:
        assert _send_until_refused(ann, "on time")[0] == 5
    with post_office.client("carl") as carl:
        short = carl.send("bob", "lives for three seconds", ttl_ms=3_000)
    wall_clock.jump(-3_600)
    for end in (post_office.kill, post_office.stop):
        end()
        post_office.start(rate_limit=5)
        with post_office.client("ann") as ann:
            accepted, wait_s = _send_until_refused(ann, "an hour behind")
        assert accepted == 0
        assert 0 < wait_s <= 60
        with post_office.client("carl") as carl:
            result = carl.send("bob", "an hour behind")
        assert 0 <= result["createdAt"] - short["createdAt"] < NEAR_MS
    eventually(lambda: post_office.status_of(short["id"]) == "expired", "the message with the short TTL has expired")
    assert _in_order(post_office, "bob")[-1] - _now_ms() < NEAR_MS
    post_office.stop()
    assert _logged_ms(post_office) - _now_ms() < -HOUR_MS + NEAR_MS, "the broker did not see the jump"


def test_a_start_with_the_clock_a_week_ahead(post_office: PostOffice, wall_clock: WallClock) -> None:
    """The broker can't distinguish this from a machine that was off for a week. So mail with a TTL below a week
    expires, with a receipt, and mail without one stays. The time continues from there when the clock is set right:
    TTLs and rates are then measured in true seconds."""
    post_office.start(rate_limit=5)
    post_office.sessions("ann", "bob", "carl")
    carl = post_office.client("carl", patient=True)
    with post_office.client("ann") as ann:
        assert _send_until_refused(ann, "on time")[0] == 5
    hours = carl.send("bob", "lives for two hours", ttl_ms=2 * HOUR_MS)
    without_ttl = carl.send("bob", "has no end")
    post_office.stop()

    wall_clock.jump(604_800)
    post_office.start(rate_limit=5)
    eventually(lambda: post_office.status_of(hours["id"]) == "expired", "a week is longer than two hours")
    assert post_office.status_of(without_ttl["id"]) == "pending"
    assert "message.expired" in {event["event"] for event in carl.events(0)["events"]}
    with post_office.client("ann") as ann:
        assert _send_until_refused(ann, "a week ahead")[0] == 5, "a week is longer than a minute"
    post_office.kill()

    wall_clock.jump(0)
    post_office.start(rate_limit=5)
    back = carl.send("bob", "the clock is right again", ttl_ms=1_000)
    assert abs(back["createdAt"] - _now_ms() - WEEK_MS) < NEAR_MS
    with post_office.client("ann") as ann:
        accepted, wait_s = _send_until_refused(ann, "right again")
    assert accepted == 0
    assert 0 < wait_s <= 60
    eventually(lambda: post_office.status_of(back["id"]) == "expired", "a second is a second")
    assert post_office.status_of(without_ttl["id"]) == "pending"
    _in_order(post_office, "bob")


def _reaches_head(found: Any) -> bool:
    return bool(found["index"]["upTo"] == found["index"]["head"])


@JUMPS_S
def test_a_search_after_a_jump_finds_all(post_office: PostOffice, wall_clock: WallClock, jump_s: int) -> None:
    """What was sent before and after it, in the order of the records, also by an index that is built after it."""
    post_office.start()
    post_office.sessions("ann", "bob")
    ann, person = post_office.client("ann"), post_office.client()
    ann.send("bob", "cart before")
    assert person.search("cart")["total"] == 1
    wall_clock.jump(jump_s)
    ann.send("bob", "cart after")
    for _ in range(2):
        # On a busy machine an answer may say that it does not reach the head yet.
        eventually(lambda: _reaches_head(person.search("cart")), "the index has caught up")
        found = person.search("cart after:90d")
        assert [hit["message"]["message"] for hit in found["hits"]] == ["cart after", "cart before"]
        assert found["index"]["upTo"] == found["index"]["head"]
        person.rebuild_index()
