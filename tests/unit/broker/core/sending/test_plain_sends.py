"""The short way of a plain send: it does what the long way does, or leaves the send to it."""

from __future__ import annotations

from typing import Any
from unittest import mock

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from maestro_broker.core.sending import acceptance, plain_sends
from maestro_schemas.errors import MaestroError
from maestro_schemas.limits import DELIVERIES_MAX, PAIR_WINDOW_MS, SHORT_REPLY_CHARS, Limits
from maestro_schemas.messages import NO_METADATA, Metadata
from maestro_schemas.requests import Identity, Outgoing, Send
from support.offices import Office

SESSIONS = ("boss", "ann", "bob", "far", "gone")
TEXTS = ("ok", "x" * (SHORT_REPLY_CHARS + 1), "x" * 60_000, "", "  \n", "a\u202eb", "\x07", "é\ufe0f")
# Stands for an id that is newer than all before.
NEXT = "next"
IDS = [
    *(f"msg_{at}_{digits}" for at in (1, 5, 9) for digits in ("aaaaaaaaa", "bbbbbbbbb")),
    "own-key",
    "no id",
    "x" * 65,
]

outgoing = st.builds(
    Outgoing,
    id=st.sampled_from(IDS),
    to=st.sampled_from(
        [*SESSIONS, "Ann's name", "unknown", "parent", "operator", "@all", "@workers", ["ann", "bob"]]
    ),
    text=st.sampled_from(TEXTS),
    metadata=st.sampled_from([Metadata(), Metadata(type="request"), Metadata(in_reply_to="msg_1_aaaaaaaaa")]),
    ttl_ms=st.sampled_from([None, None, None, 0, 60_000]),
    expires_at=st.sampled_from([None, None, None, 2_000_000]),
    on_ended=st.sampled_from([None, None, "queue", "error"]),
)
# Mostly what the short way takes, between few sessions under few ids, so that repeats and limits are met.
plain = st.builds(
    Outgoing,
    id=st.sampled_from([NEXT] * 12 + IDS),
    to=st.sampled_from(["ann", "bob", "bob", *SESSIONS]),
    text=st.sampled_from([*TEXTS[:2], *TEXTS[:2], *TEXTS]),
    ttl_ms=st.sampled_from([None] * 15 + [60_000]),
    expires_at=st.sampled_from([None] * 15 + [2_000_000]),
    metadata=st.sampled_from([NO_METADATA] * 15 + [Metadata(type="request")]),
)
steps = st.lists(
    st.tuples(
        st.sampled_from(["ann", "ann", "bob", *SESSIONS, "operator"]),
        st.lists(plain, min_size=1, max_size=1)
        | st.lists(plain, min_size=2, max_size=4)
        | st.lists(plain | outgoing, max_size=3),
        st.booleans(),
        st.sampled_from([0] * 12 + [1, 70_000, PAIR_WINDOW_MS]),
        st.sampled_from([False] * 7 + [True]),
    ),
    min_size=10,
    max_size=30,
)


def _office(limits: Limits) -> Office:
    office = Office(limits)
    office.start("boss", role="orchestrator")
    office.start("ann", name="Ann's name", parent_session_id="boss")
    office.start("bob", agent="claude-code")
    office.start("far", project_id="other")
    office.start("gone")
    office.end("gone")
    return office


def _seen(limits: Limits, taken: Any) -> list[Any]:
    """The replies, the journal and the counters after these steps."""
    office = _office(limits)
    seen: list[Any] = []
    for number, (sender, messages, whole, passed_ms, is_filed) in enumerate(taken, 10):
        office.now_ms += passed_ms
        who = Identity(operator=True) if sender == "operator" else Identity(sender)
        office.circumstances = {"topics": frozenset({"far/"})}
        try:
            given_ids = [
                replace(each, id=f"msg_{number}_{place:09}") if each.id == NEXT else each
                for place, each in enumerate(messages)
            ]
            reply = office.do(Send(messages=given_ids, who=who, whole=whole))
            seen.append(msgspec.to_builtins(reply))
        except MaestroError as error:
            seen.append(error.body())
        if is_filed:
            office.file()
            office.make_checkpoint()
    boxes = [office.state.mailbox(name) for name in SESSIONS]
    return [seen, office.journal, [(box.head_seq, box.pending, box.unoffered, box.touched_ms) for box in boxes]]


@given(taken=steps, rate_limit=st.sampled_from([0, 2, 40]), pending_max=st.sampled_from([2, 100]))
def test_both_ways_do_the_same(taken: Any, rate_limit: int, pending_max: int) -> None:
    limits = Limits(rate_limit=rate_limit, pending_max=pending_max, short_replies_max=2)
    short = _seen(limits, taken)
    with (
        mock.patch.object(plain_sends, "send", return_value=None),
        mock.patch.object(plain_sends, "needs_no_read", return_value=False),
    ):
        assert _seen(limits, taken) == short


def test_a_plain_send_takes_the_short_way() -> None:
    """It would be no use otherwise, and the comparison above would compare nothing."""
    office = _office(Limits())
    with mock.patch.object(acceptance, "_results", side_effect=AssertionError):
        for number in range(3):
            message = Outgoing(id=f"msg_{office.now_ms}_aaaaaaaa{number}", to="bob", text="hello")
            [result] = office.do(Send(messages=[message], who=Identity("ann"))).results
            assert (result.status, result.seq) == (201, number + 1)


def test_a_request_of_many_plain_messages_has_its_limit_of_deliveries() -> None:
    office = _office(Limits(rate_limit=0, batch_messages_max=4_000, pending_max=9_999))
    many = [Outgoing(id=f"msg_{number}_aaaaaaaaa", to="bob", text="hello") for number in range(DELIVERIES_MAX + 1)]
    with pytest.raises(MaestroError) as raised:
        office.do(Send(messages=many, who=Identity("ann")))
    assert (raised.value.code, raised.value.limit) == ("TOO_MANY", DELIVERIES_MAX)
    assert office.inbox("bob") == []
    assert all(result.status == 201 for result in office.do(Send(messages=many[1:], who=Identity("ann"))).results)
