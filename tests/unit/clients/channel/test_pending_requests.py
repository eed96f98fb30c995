"""The sans-IO connection: correlation, repeats, deadlines. Time is a number that a test moves."""

from __future__ import annotations

from itertools import pairwise

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from maestro_clients.channel.pending_requests import RESEND_AFTER_MAX_S, RESEND_AFTER_S, PendingRequests
from maestro_schemas.errors import MaestroError

BODY = msgpack.packb({"a": 1})


def reply(request_id: bytes, status: bytes = b"200", body: bytes = BODY) -> tuple[bytes, bytes, bytes, bytes]:
    return (b"M1", request_id, status, body)


def test_a_request_is_four_frames_and_its_answer_finds_it() -> None:
    """The id tells which request an answer is for, in whatever order answers come."""
    connection = PendingRequests()
    first, frames = connection.request("hello", b"one", 0.0, 10.0)
    second, _ = connection.request("stats", b"two", 0.0, 10.0)
    assert frames == (b"M1", first, b"hello", b"one")
    assert first != second
    assert len(connection) == 2
    answer = connection.receive(reply(second, b"404"))
    assert answer is not None
    assert (answer.request_id, answer.status, answer.body) == (second, 404, {"a": 1})
    assert len(connection) == 1


def test_an_answer_without_a_request_is_dropped() -> None:
    """The second answer to a repeated request, an unknown id, one that was given up: not even decoded."""
    connection = PendingRequests()
    request_id, _ = connection.request("hello", b"", 0.0, 10.0)
    assert connection.receive(reply(b"absent", body=b"\xc1")) is None
    assert connection.receive(reply(request_id)) is not None
    assert connection.receive(reply(request_id)) is None
    given_up, _ = connection.request("hello", b"", 0.0, 10.0)
    connection.forget(given_up)
    assert connection.receive(reply(given_up)) is None


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
def test_what_is_no_reply_is_an_error_and_the_request_goes_on_waiting(frames: list[bytes], code: str) -> None:
    """A peer with another protocol is reported differently from silence."""
    connection = PendingRequests()
    request_id, _ = connection.request("hello", b"", 0.0, 10.0)
    assert request_id == b"1"
    with pytest.raises(MaestroError) as raised:
        connection.receive(frames)
    assert raised.value.code == code
    assert len(connection) == 1


def test_silence_makes_it_say_the_same_again_at_growing_intervals() -> None:
    """The same id and the same bytes, until the deadline."""
    connection = PendingRequests()
    _, frames = connection.request("send", b"body", 0.0, 10.0)
    sent: list[float] = []
    now_s = 0.0
    while len(connection):
        wake_s = connection.next_wake_s(now_s)
        assert wake_s is not None
        now_s = wake_s
        for again in connection.due(now_s):
            assert again is frames
            sent.append(now_s)
        connection.expired(now_s)
    gaps = [later - earlier for earlier, later in pairwise(sent)]
    assert sent[0] == RESEND_AFTER_S
    assert gaps[0] == pytest.approx(2 * RESEND_AFTER_S)
    assert max(gaps) == pytest.approx(RESEND_AFTER_MAX_S)
    assert sorted(gaps) == pytest.approx(gaps)
    assert now_s == 10.0
    assert connection.next_wake_s(now_s) is None


def test_repeats_go_out_oldest_first_and_never_early() -> None:
    """Messages of one sender keep their order as far as a repeat can."""
    connection = PendingRequests()
    ids = [connection.request("send", b"%d" % number, number / 100, 10.0)[0] for number in range(5)]
    assert connection.due(RESEND_AFTER_S - 0.001) == []
    assert [frames[1] for frames in connection.due(RESEND_AFTER_S + 0.02)] == ids[:3]
    assert [frames[1] for frames in connection.due(RESEND_AFTER_S + 0.05)] == ids[3:]


def test_a_new_socket_gets_everything_that_waits() -> None:
    """What an old socket was given is lost with it; what is too late already is not sent any more."""
    connection = PendingRequests()
    late, _ = connection.request("hello", b"", 0.0, 1.0)
    waiting, _ = connection.request("hello", b"", 0.0, 5.0)
    assert [frames[1] for frames in connection.again(2.0)] == [waiting]
    assert connection.due(2.0 + RESEND_AFTER_S / 2) == []
    assert connection.expired(2.0) == [late]


def test_expiry_is_reported_once() -> None:
    """An expired request is forgotten, and its late answer is dropped."""
    connection = PendingRequests()
    request_id, _ = connection.request("hello", b"", 5.0, 0.1)
    assert connection.expired(5.05) == []
    assert connection.next_wake_s(5.05) == pytest.approx(5.1)
    assert connection.due(5.2) == []
    assert connection.expired(5.2) == [request_id]
    assert connection.expired(5.2) == []
    assert connection.receive(reply(request_id)) is None


def test_forgetting_all_says_what_was_waited_for() -> None:
    """For a connection that is lost as a whole."""
    connection = PendingRequests()
    ids = [connection.request("hello", b"", 0.0, 1.0)[0] for _ in range(3)]
    assert connection.forget_all() == ids
    assert connection.next_wake_s(0.0) is None
    assert connection.due(9.0) == []
    assert connection.expired(9.0) == []


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["ask", "answer", "lose", "wait"]), st.integers(0, 9)), max_size=60))
def test_every_request_ends_exactly_once(steps: list[tuple[str, int]]) -> None:
    """Whatever comes in whatever order: an answer or an expiry, one of them, once; and none sleeps past its wake."""
    connection = PendingRequests()
    now_s = 0.0
    waiting: dict[bytes, float] = {}
    ended: set[bytes] = set()
    for step, number in steps:
        if step == "ask":
            request_id, _ = connection.request("hello", b"", now_s, 0.5 + number)
            waiting[request_id] = now_s + 0.5 + number
        elif step == "answer" and waiting:
            request_id = list(waiting)[number % len(waiting)]
            assert connection.receive(reply(request_id)) is not None
            del waiting[request_id]
            ended.add(request_id)
        elif step == "lose" and waiting:
            request_id = list(waiting)[number % len(waiting)]
            connection.forget(request_id)
            del waiting[request_id]
            ended.add(request_id)
        elif step == "wait":
            wake_s = connection.next_wake_s(now_s)
            now_s = now_s + number / 10 if wake_s is None else wake_s
            due = {frames[1] for frames in connection.due(now_s)}
            over = connection.expired(now_s)
            assert due <= waiting.keys()
            assert not due & set(over)
            for request_id in over:
                assert waiting.pop(request_id) <= now_s
                ended.add(request_id)
            assert all(deadline_s > now_s for deadline_s in waiting.values())
        for request_id in ended:
            assert connection.receive(reply(request_id)) is None
        assert len(connection) == len(waiting)
