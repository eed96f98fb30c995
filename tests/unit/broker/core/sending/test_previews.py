"""A preview: the receivers, their states and the refusals that the send would have; through the core."""

from __future__ import annotations

from typing import Any

import pytest

from maestro_schemas.bodies.previews import Preview, PreviewReply
from maestro_schemas.limits import SHORT_REPLY_CHARS, Limits
from maestro_schemas.messages import Metadata
from maestro_schemas.requests import Identity, Outgoing, Send
from support.offices import Office, refused


def team(**limits: Any) -> Office:
    """Two projects with workers; cid has ended."""
    office = Office(Limits(**limits))
    office.start("lead", role="orchestrator", project_id="shop")
    for worker in ("ann", "ben", "cid"):
        office.start(worker, project_id="shop", name=f"{worker} of shop")
    office.start("eve", project_id="other")
    office.end("cid")
    return office


def seen(office: Office, sender: str, to: str | list[str], **fields: Any) -> PreviewReply:
    who = Identity(operator=True) if sender == "operator" else Identity(sender)
    before = office.state.lsn
    reply: PreviewReply = office.do(Preview(to=to, who=who, **fields))
    assert office.state.lsn == before, "a preview changes nothing"
    return reply


def outcome(reply: Any) -> list[tuple[str, int, str | None, str | None]]:
    return [
        (each.to, each.status, each.reach, each.error["code"] if isinstance(each.error, dict) else None)
        for each in reply.recipients
    ]


@pytest.mark.parametrize("sender", ["lead", "ann", "operator"])
@pytest.mark.parametrize(
    "to", ["@workers", ["ben", "cid"], ["@orchestrators", "ben", "operator"], ["ben", "@project:shop"]]
)
def test_it_is_what_the_send_says(sender: str, to: str | list[str]) -> None:
    office = team(rate_limit=0, fanout_confirm=256)
    reply = seen(office, sender, to)
    who = Identity(operator=True) if sender == "operator" else Identity(sender)
    sent = office.do(Send(messages=[Outgoing(id="m", to=to, text="hello")], who=who)).results[0]
    assert outcome(reply) == outcome(sent)
    assert (reply.accepted, reply.refused, reply.audience) == (sent.accepted, sent.refused, sent.audience)
    assert [each.name for each in reply.recipients] == [each.name for each in sent.recipients]
    assert [each.presence for each in reply.recipients] == [each.presence for each in sent.recipients]


def test_one_receiver_is_no_audience() -> None:
    office = team()
    reply = seen(office, "lead", "ann")
    assert (outcome(reply), reply.audience, reply.confirm) == ([("ann", 201, "inbox", None)], None, False)
    assert reply.recipients[0].name == "ann of shop"
    redirected = seen(office, "ann", "cid", on_ended="redirect").recipients[0]
    assert (redirected.to, redirected.original_to) == ("lead", "cid")
    assert outcome(seen(office, "ann", "cid", on_ended="queue")) == [("cid", 201, "ended", None)]


def test_what_refuses_one_receiver_is_its_entry_also_where_it_stands_alone() -> None:
    office = team(rate_limit=0, pending_max=1)
    office.accept("ann", "ben", "m1")
    full = seen(office, "lead", "ben")
    assert (outcome(full), full.accepted, full.refused) == ([("ben", 429, None, "MAILBOX_FULL")], 0, 1)
    ended = seen(office, "lead", "cid")
    assert (outcome(ended), ended.refused, ended.audience) == ([("cid", 409, None, "RECEIVER_ENDED")], 1, None)
    both = seen(office, "lead", ["ben", "cid", "ann"])
    assert [each[3] for each in outcome(both)] == [None, "RECEIVER_ENDED", "MAILBOX_FULL"]


@pytest.mark.parametrize(
    ("sender", "to", "fields", "code"),
    [
        ("lead", "ghost", {}, "RECEIVER_NOT_FOUND"),
        ("ann", "eve", {}, "ROLE_FORBIDDEN"),
        ("ann", "@all", {}, "ROLE_FORBIDDEN"),
        ("lead", "@nothing", {}, "GROUP_NOT_FOUND"),
        ("lead", [], {}, "NO_RECEIVERS"),
        ("lead", ["ann"] * 33, {}, "TOO_MANY"),
        ("lead", "ann", {"metadata": Metadata(thread_id="m")}, "INVALID"),
        ("lead", "cid", {"on_ended": "burn"}, "INVALID"),
        ("cid", "ann", {}, "SESSION_ENDED"),
        ("nowhere", "ann", {}, "UNKNOWN_SESSION"),
        (None, "ann", {}, "NO_SESSION"),
    ],
)
def test_what_refuses_the_whole_message_is_an_error(sender: str | None, to: Any, fields: Any, code: str) -> None:
    assert refused(team(), Preview(to=to, who=Identity(sender), **fields)).code == code


def test_an_audience_of_many_sessions_is_to_be_confirmed_but_by_the_person() -> None:
    office = team(fanout_confirm=1)
    assert [seen(office, who, "@workers").confirm for who in ("lead", "operator")] == [True, False]
    assert not seen(office, "lead", ["ann", "ben"]).confirm


def test_no_rate_is_counted_and_none_refuses_it() -> None:
    office = team(rate_limit=2, fanout_limit=2, group_limit=2)
    for _ in range(10):
        seen(office, "lead", ["ann", "ben"])
    for key in ("m1", "m2"):
        office.accept("lead", "ann", key)
    assert seen(office, "lead", "ann").accepted == 1
    assert office.send("lead", "ann", "m3").status == 429


def test_the_loop_guard_of_a_pair_refuses_without_a_text() -> None:
    office = team(pair_limit=1, short_replies_max=1)
    assert seen(office, "ann", "ben").accepted == 1
    office.accept("ann", "ben", "m1", "." * (SHORT_REPLY_CHARS + 1))
    assert outcome(seen(office, "ben", "ann")) == [("ann", 429, None, "LOOP_GUARD")]
