"""The sans-IO core of a channel: correlation, repeats, deadlines and a lost connection. The tests set the time."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maestro_clients.channel.core import (
    QUIET_S,
    RECONNECT_AFTER_MAX_S,
    RECONNECT_AFTER_S,
    RESEND_AFTER_MAX_S,
    RESEND_AFTER_S,
    ChannelCore,
)
from maestro_clients.protocol.codec import decode
from maestro_schemas.errors import MaestroError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maestro_clients.channel.core import Reply

BODY = msgpack.packb({"a": 1})


def reply(request_id: bytes, status: bytes = b"200", body: bytes = BODY) -> tuple[bytes, bytes, bytes, bytes]:
    return (b"M1", request_id, status, body)


def received(core: ChannelCore, frames: Sequence[bytes]) -> Reply | MaestroError | None:
    """The reply or the error with which a message from the broker ends a request; None if it ends no request."""
    core.receive([frames], 0.0)
    assert len(core.ended) <= 1
    return core.ended.popitem()[1] if core.ended else None


def probe_if_quiet(core: ChannelCore, now_s: float) -> None:
    """A driver does this too; otherwise the core would wake it again at once."""
    if core.is_quiet(now_s):
        core.tested(now_s)


def test_a_request_is_four_frames_and_its_answer_finds_it() -> None:
    """The request id correlates an answer with its request, in any order of answers."""
    core = ChannelCore(decode)
    first, frames = core.request("hello", b"one", 0.0, 10.0)
    second, _ = core.request("stats", b"two", 0.0, 10.0)
    assert frames == (b"M1", first, b"hello", b"one")
    assert first != second
    assert len(core) == 2
    assert received(core, reply(second, b"404")) == (404, {"a": 1})
    assert len(core) == 1


def test_an_answer_to_no_waiting_request_is_dropped() -> None:
    """A second answer, an answer with an unknown id, and one to a request that was given up are not even decoded."""
    core = ChannelCore(decode)
    request_id, _ = core.request("hello", b"", 0.0, 10.0)
    assert received(core, reply(b"absent", body=b"\xc1")) is None
    assert received(core, reply(request_id)) is not None
    assert received(core, reply(request_id)) is None
    given_up, _ = core.request("hello", b"", 0.0, 10.0)
    core.forget([given_up])
    assert received(core, reply(given_up)) is None


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([], "UNSUPPORTED_PROTOCOL"),
        ([b"M2", b"1", b"200", BODY], "UNSUPPORTED_PROTOCOL"),
        ([b"M1"], "BAD_REQUEST"),
        ([b"M1", b"1", b"200"], "BAD_REQUEST"),
        ([b"M1", b"1", b"200", BODY, b""], "BAD_REQUEST"),
        ([b"M1", b"1", b"OK!", BODY], "BAD_REQUEST"),
        ([b"M1", b"1", b"2000", BODY], "BAD_REQUEST"),
        ([b"M1", b"1", b"200", b"\xc1"], "BAD_REQUEST"),
        ([b"M1", b"1", b"200", b"\x01"], "BAD_REQUEST"),
    ],
)
def test_an_invalid_reply_is_an_error_and_the_request_waits_on(frames: list[bytes], code: str) -> None:
    """A peer that speaks another protocol causes an error, not a timeout."""
    core = ChannelCore(decode)
    request_id, _ = core.request("hello", b"", 0.0, 10.0)
    assert request_id == b"1"
    with pytest.raises(MaestroError) as raised:
        core.receive([frames], 0.0)
    assert raised.value.code == code
    assert len(core) == 1


def test_an_unanswered_request_is_repeated_at_growing_intervals() -> None:
    """Each repeat has the same id and the same bytes, until the deadline."""
    core = ChannelCore(decode)
    _, frames = core.request("send", b"body", 0.0, 10.0)
    sent: list[float] = []
    now_s = 0.0
    while len(core):
        wake_s = core.next_wake_s(now_s)
        assert wake_s is not None
        now_s = wake_s
        for again in core.due(now_s):
            assert again is frames
            sent.append(now_s)
        core.expired(now_s)
        probe_if_quiet(core, now_s)
    gaps = [later - earlier for earlier, later in pairwise(sent)]
    assert sent[0] == RESEND_AFTER_S
    assert gaps[0] == pytest.approx(2 * RESEND_AFTER_S)
    assert max(gaps) == pytest.approx(RESEND_AFTER_MAX_S)
    assert sorted(gaps) == pytest.approx(gaps)
    assert now_s == 10.0
    assert core.next_wake_s(now_s) is None


def test_repeats_go_out_oldest_first_and_never_early() -> None:
    """Repeats keep the order of one sender's messages."""
    core = ChannelCore(decode)
    ids = [core.request("send", b"%d" % number, number / 100, 10.0)[0] for number in range(5)]
    assert core.due(RESEND_AFTER_S - 0.001) == []
    assert [frames[1] for frames in core.due(RESEND_AFTER_S + 0.02)] == ids[:3]
    assert [frames[1] for frames in core.due(RESEND_AFTER_S + 0.05)] == ids[3:]


def test_a_new_socket_gets_all_waiting_requests() -> None:
    """The requests given to the old socket are lost with it. A request past its deadline is not sent again."""
    core = ChannelCore(decode)
    late, _ = core.request("hello", b"", 0.0, 1.0)
    waiting, _ = core.request("hello", b"", 0.0, 5.0)
    assert [frames[1] for frames in core.again(2.0)] == [waiting]
    assert core.due(2.0 + RESEND_AFTER_S / 2) == []
    assert core.expired(2.0) == [late]


def test_expiry_is_reported_once() -> None:
    """An expired request is forgotten, and its late answer is dropped."""
    core = ChannelCore(decode)
    request_id, _ = core.request("hello", b"", 5.0, 0.1)
    assert core.expired(5.05) == []
    assert core.next_wake_s(5.05) == pytest.approx(5.1)
    assert core.due(5.2) == []
    assert core.expired(5.2) == [request_id]
    assert core.expired(5.2) == []
    assert received(core, reply(request_id)) is None


def test_a_failure_ends_all_waiting_requests() -> None:
    """Each request has its own error, because an error that several tasks raise would collect all their
    tracebacks."""
    core = ChannelCore(decode)
    ids = [core.request("hello", b"", 0.0, 1.0)[0] for _ in range(3)]
    core.fail(MaestroError("KEY_REFUSED", "no", "next"))
    assert list(core.ended) == ids
    errors = list(core.ended.values())
    assert all(isinstance(error, MaestroError) and error.code == "KEY_REFUSED" for error in errors)
    assert len(set(map(id, errors))) == 3
    assert core.next_wake_s(0.0) is None
    assert core.due(9.0) == []
    assert core.expired(9.0) == []


def test_a_quiet_connection_is_probed_periodically() -> None:
    core = ChannelCore(decode)
    assert not core.is_quiet(9.0), "no request waits"
    request_id, _ = core.request("hello", b"", 9.0, 5.0)
    assert not core.is_quiet(9.0 + QUIET_S / 2)
    assert core.next_wake_s(9.0) == pytest.approx(9.0 + min(QUIET_S, RESEND_AFTER_S))
    assert core.is_quiet(9.0 + QUIET_S)
    core.tested(9.0 + QUIET_S)
    assert not core.is_quiet(9.0 + QUIET_S)
    core.receive([reply(request_id)], 10.0)
    core.request("hello", b"", 20.0, 5.0)
    assert not core.is_quiet(20.0), "the quiet time begins with the request"


def test_a_lost_broker_has_a_moment_to_come_back() -> None:
    """An impatient client gives up after QUIET_S; a patient one waits until its deadlines."""
    for patient in (False, True):
        core = ChannelCore(decode, patient=patient)
        core.request("hello", b"", 0.0, 5.0)
        core.lost(1.0)
        assert not core.gives_up(1.0 + QUIET_S / 2)
        assert core.gives_up(1.0 + QUIET_S) is not patient


def test_attempts_to_connect_become_rarer() -> None:
    """They are frequent again once the broker has answered."""
    core = ChannelCore(decode)
    request_id, _ = core.request("hello", b"", 0.0, 50.0)
    waits_s = []
    for _ in range(6):
        waits_s.append(core.reconnect_after_s)
        assert core.next_wake_s(1.0, connected=False) == min(1.0 + waits_s[-1], max(1.0, RESEND_AFTER_S))
        core.reconnect_failed()
    assert waits_s[:3] == [RECONNECT_AFTER_S, 2 * RECONNECT_AFTER_S, 4 * RECONNECT_AFTER_S]
    assert waits_s[-1] == RECONNECT_AFTER_MAX_S
    core.receive([reply(request_id)], 2.0)
    assert core.reconnect_after_s == RECONNECT_AFTER_S


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["ask", "answer", "lose", "wait"]), st.integers(0, 9)), max_size=60))
def test_every_request_ends_exactly_once(steps: list[tuple[str, int]]) -> None:
    """In any order of events, each request ends once, with an answer or by expiry, and no deadline passes
    unnoticed."""
    core = ChannelCore(decode)
    now_s = 0.0
    waiting: dict[bytes, float] = {}
    ended: set[bytes] = set()
    for step, number in steps:
        if step == "ask":
            request_id, _ = core.request("hello", b"", now_s, 0.5 + number)
            waiting[request_id] = now_s + 0.5 + number
        elif step == "answer" and waiting:
            request_id = list(waiting)[number % len(waiting)]
            assert received(core, reply(request_id)) is not None
            del waiting[request_id]
            ended.add(request_id)
        elif step == "lose" and waiting:
            request_id = list(waiting)[number % len(waiting)]
            core.forget([request_id])
            del waiting[request_id]
            ended.add(request_id)
        elif step == "wait":
            wake_s = core.next_wake_s(now_s)
            now_s = now_s + number / 10 if wake_s is None else wake_s
            due = {frames[1] for frames in core.due(now_s)}
            over = core.expired(now_s)
            probe_if_quiet(core, now_s)
            assert due <= waiting.keys()
            assert not due & set(over)
            for request_id in over:
                assert waiting.pop(request_id) <= now_s
                ended.add(request_id)
            assert all(deadline_s > now_s for deadline_s in waiting.values())
        for request_id in ended:
            assert received(core, reply(request_id)) is None
        assert len(core) == len(waiting)
