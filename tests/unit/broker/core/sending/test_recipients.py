"""Where a send goes whose receiver has ended; through the core, without a broker."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_schemas.limits import Limits
from maestro_schemas.replies import SendResult
from support.offices import Office

FREE = Limits(rate_limit=0)


def office_of(limits: Limits = FREE, **started: dict[str, Any]) -> Office:
    """`boss` leads and `ann` works in one project, and what else is started."""
    office = Office(limits)
    office.start("boss", role="orchestrator")
    office.start("ann")
    for session, fields in started.items():
        office.start(session, **fields)
    return office


def refusal(result: SendResult) -> tuple[str, str]:
    """Code and hint of a send that was refused."""
    assert isinstance(result.error, dict), result
    return result.error["code"], result.error["hint"]


def test_the_error_names_the_ways_out() -> None:
    office = office_of(bob={})
    office.end("bob")
    for on_ended in (None, "error"):
        code, hint = refusal(office.send("ann", "bob", "m1", on_ended=on_ended))
        assert code == "RECEIVER_ENDED"
        assert "--on-ended queue" in hint
        assert "--on-ended redirect" in hint


def test_an_unknown_word_is_refused_for_any_receiver() -> None:
    code, hint = refusal(office_of(bob={}).send("ann", "bob", "m1", on_ended="drop"))
    assert (code, hint) == ("INVALID", "Use one of: error, queue, redirect.")


def test_what_is_queued_comes_in_order_with_what_was_not_read() -> None:
    office = office_of(bob={"token": "secret"})
    office.accept("ann", "bob", "m1")
    office.end("bob")
    for message_id in ("m2", "m3"):
        sent = office.accept("ann", "bob", message_id, on_ended="queue")
        assert (sent.status, sent.to, sent.state, sent.reach) == (201, "bob", "pending", "ended")
        assert sent.original_to is None
    office.crash()
    office.start("bob", token="secret")
    mailbox = office.state.mailboxes["bob"]
    held = [mailbox.get(office.ids[key]) for key in ("m1", "m2", "m3")]
    assert [entry.message.seq for entry in held if entry is not None] == [1, 2, 3]
    assert (mailbox.pending, mailbox.unoffered) == (3, 3)
    assert office.accept("ann", "bob", "m4", on_ended="queue").reach == "inbox"


def test_the_mailbox_of_an_ended_session_gets_full_too() -> None:
    office = office_of(Limits(rate_limit=0, pending_max=1), bob={})
    office.end("bob")
    office.accept("ann", "bob", "m1", on_ended="queue")
    assert refusal(office.send("ann", "bob", "m2", on_ended="queue"))[0] == "MAILBOX_FULL"


def test_the_setting_decides_for_who_does_not_say() -> None:
    office = office_of(Limits(rate_limit=0, on_ended="redirect"), bob={})
    office.end("bob")
    assert office.accept("ann", "bob", "m1").to == "boss"
    assert office.accept("ann", "bob", "m2", on_ended="queue").to == "bob"
    assert refusal(office.send("ann", "bob", "m3", on_ended="error"))[0] == "RECEIVER_ENDED"


def test_the_nearest_orchestrator_above_gets_it() -> None:
    """Past ended ones, and past workers."""
    office = office_of(
        top={"role": "orchestrator", "project_id": "other"},
        middle={"role": "orchestrator", "parent_session_id": "top"},
        worker={"parent_session_id": "middle"},
        bob={"parent_session_id": "worker"},
    )
    office.end("bob")
    sent = office.accept("ann", "bob", "m1", on_ended="redirect")
    assert (sent.to, sent.original_to) == ("middle", "bob")
    [message] = office.inbox("middle")
    assert message.original_to == "bob"
    office.end("middle")
    assert office.accept("ann", "bob", "m2", on_ended="redirect").to == "top"


def test_without_one_above_the_only_one_of_the_project() -> None:
    office = office_of(bob={"project_id": None})
    office.end("bob")
    assert office.accept("ann", "bob", "m1", on_ended="redirect").to == "boss"
    office.start("other", role="orchestrator")
    code, hint = refusal(office.send("ann", "bob", "m2", on_ended="redirect"))
    assert code == "RECEIVER_ENDED"
    assert "2 active orchestrators" in hint
    office.end("other")
    office.end("boss")
    assert "no active orchestrator." in refusal(office.send("ann", "bob", "m3", on_ended="redirect"))[1]


def test_parents_in_a_circle() -> None:
    office = office_of(bob={}, cyd={"parent_session_id": "bob"})
    office.start("bob", parent_session_id="cyd")
    office.end("bob")
    office.end("cyd")
    assert office.accept("ann", "bob", "m1", on_ended="redirect").to == "boss"


def test_a_parent_that_is_gone() -> None:
    office = office_of(cyd={}, bob={"parent_session_id": "cyd"})
    office.end("bob")
    gone = office.state.sessions
    del gone._by_id["cyd"]
    assert office.accept("ann", "bob", "m1", on_ended="redirect").to == "boss"


def test_nothing_is_redirected_to_its_sender() -> None:
    office = office_of(bob={"parent_session_id": "boss"})
    office.end("bob")
    code, hint = refusal(office.send("boss", "bob", "m1", on_ended="redirect"))
    assert code == "RECEIVER_ENDED"
    assert "is the sender" in hint


@pytest.mark.parametrize("filed", [False, True])
def test_a_repeat_is_answered_as_the_first_although_the_receiver_is_back(filed: bool) -> None:
    office = office_of(bob={})
    office.end("bob")
    first = office.accept("ann", "bob", "m1", on_ended="redirect")
    if filed:
        office.file()
        office.make_checkpoint()
        office.crash()
    office.start("bob")
    again = office.accept("ann", "bob", "m1", on_ended="redirect")
    assert (first.status, again.status) == (201, 200)
    assert (again.to, again.original_to, again.seq) == ("boss", "bob", first.seq)
    assert office.inbox("bob") == []


def test_rate_and_pairs_are_those_of_the_final_receiver() -> None:
    office = office_of(Limits(rate_limit=5, pair_limit=2), bob={})
    office.end("bob")
    office.accept("ann", "boss", "m1")
    office.accept("ann", "bob", "m2", on_ended="redirect")
    assert refusal(office.send("ann", "bob", "m3", on_ended="redirect"))[0] == "LOOP_GUARD"
