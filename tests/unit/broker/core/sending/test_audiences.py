"""Audiences: whom an address with `@` reaches, and what restricts it; through the core, without a broker."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from bench.core_counts import calls
from maestro_broker.core.model.records import Failed, GroupChanged
from maestro_broker.core.sending import audiences
from maestro_schemas.groups import Group, GroupMember
from maestro_schemas.limits import PAIR_WINDOW_MS, RATE_WINDOW_MS, Limits
from maestro_schemas.messages import Metadata
from maestro_schemas.names import OPERATOR
from maestro_schemas.replies import SendResult
from maestro_schemas.requests import Identity, Outgoing, Send
from support.offices import Office

FREE = Limits(rate_limit=0, fanout_confirm=256)
# Names begin with their project.
WORKERS = ("a1", "a2", "b1")
LEADS = ("alead", "blead")


def team(limits: Limits = FREE) -> Office:
    """Two projects, each with an orchestrator; a1 and a2 are children of alead."""
    office = Office(limits)
    for lead in LEADS:
        office.now_ms += 1
        office.start(lead, role="orchestrator", project_id=lead[0])
    for worker in WORKERS:
        office.now_ms += 1
        office.start(worker, project_id=worker[0], parent_session_id="alead" if worker[0] == "a" else None)
    office.start("gone", project_id="a", parent_session_id="alead")
    office.end("gone")
    return office


def group(office: Office, name: str, *members: str) -> None:
    listed = tuple(GroupMember(session=member, joined_at=office.now_ms) for member in members)
    made = Group(name=name, project_id="a", creator="alead", created_at=office.now_ms, members=listed)
    office.state.apply(GroupChanged(office.now_ms, "alead", made), None)
    office.commit()


def reached(result: SendResult) -> list[str]:
    assert not isinstance(result.error, dict), result
    return [each.to for each in result.recipients]


def code(result: SendResult) -> str:
    assert isinstance(result.error, dict), result
    return str(result.error["code"])


def by_operator(office: Office, to: str | list[str], key: str, **fields: Any) -> SendResult:
    outgoing = Outgoing(id=key, to=to, text="hello", **fields)
    result: SendResult = office.do(Send(messages=[outgoing], who=Identity(operator=True))).results[0]
    office.ids[key] = result.id
    return result


@pytest.mark.parametrize(
    ("sender", "to", "expected"),
    [
        ("alead", "@all", ["blead", "a1", "a2", "b1"]),
        ("alead", "@workers", ["a1", "a2", "b1"]),
        ("a1", "@workers", ["a2"]),
        ("a1", "@orchestrators", ["alead", "blead"]),
        ("alead", "@orchestrators", ["blead"]),
        ("a1", "@project", ["alead", "a2"]),
        ("a1", "@project:a", ["alead", "a2"]),
        ("alead", "@project", ["a1", "a2"]),
        ("alead", "@project: b ", ["blead", "b1"]),
        ("alead", "@children", ["a1", "a2"]),
        ("a1", ["@workers", "alead", "a2", "@project"], ["alead", "a2"]),
        ("a1", ["operator", "@workers"], ["operator", "a2"]),
    ],
)
def test_an_audience_is_expanded_at_acceptance(sender: str, to: str | list[str], expected: list[str]) -> None:
    office = team()
    sent = office.send(sender, to, "m")
    assert reached(sent) == expected
    assert (sent.status, sent.accepted, sent.refused) == (201, len(expected), 0)
    assert sent.audience is not None
    assert sent.audience.to == ((to,) if isinstance(to, str) else tuple(to))
    assert sent.audience.size == len(expected)
    for receiver in expected:
        entry = office.state.mailboxes[receiver].get(sent.id)
        assert entry is not None
        assert entry.message.audience == sent.audience


def test_the_list_is_frozen_for_a_repeat_also_after_a_restart() -> None:
    office = team()
    first = reached(office.send("alead", "@workers", "m"))
    office.now_ms += 1
    office.start("a3", project_id="a")
    office.end("a1")
    for _ in range(2):
        again = office.send("alead", "@workers", "m")
        assert (again.status, reached(again)) == (200, first)
        assert code(office.send("alead", ["@workers"], "m", "another text")) == "CONFLICT"
        assert code(office.send("alead", "@all", "m")) == "CONFLICT"
        assert code(office.send("alead", "a2", "m")) == "CONFLICT"
        office.file()
        office.make_checkpoint()
        office.crash()
    assert reached(office.send("alead", "@workers", "next")) == ["a2", "b1", "a3"]


@pytest.mark.parametrize(
    ("sender", "to", "expected"),
    [
        ("a1", "@all", "ROLE_FORBIDDEN"),
        ("a1", "@project:b", "ROLE_FORBIDDEN"),
        ("a1", ["@workers", "b1"], "ROLE_FORBIDDEN"),
        ("alead", "@workers:b", "INVALID"),
        ("alead", "@project:", "INVALID"),
        ("alead", "@workerz", "GROUP_NOT_FOUND"),
        ("alead", "@", "GROUP_NOT_FOUND"),
        ("alead", ["a1", "@nosuch"], "GROUP_NOT_FOUND"),
        ("alead", ["a1", "nosuch"], "RECEIVER_NOT_FOUND"),
        ("a1", "@children", "NO_RECEIVERS"),
        ("alead", [], "NO_RECEIVERS"),
        ("alead", "@project:none", "NO_RECEIVERS"),
        ("alead", ["@children"] * 33, "TOO_MANY"),
    ],
)
def test_a_wrong_address_refuses_the_whole_send(sender: str, to: str | list[str], expected: str) -> None:
    office = team()
    assert code(office.send(sender, to, "m")) == expected
    assert all(mailbox.head_seq == 0 for mailbox in office.state.mailboxes.values())


def test_more_receivers_than_the_limit_are_refused_with_both_numbers() -> None:
    result = team(FREE._replace(fanout_max=3)).send("alead", "@all", "m")
    assert isinstance(result.error, dict)
    assert (result.error["code"], result.error["limit"], result.error["actual"]) == ("TOO_MANY", 3, 4)
    assert "@all comes to 4 sessions" in result.error["message"]


def test_a_group_is_for_members_orchestrators_and_the_operator() -> None:
    office = team()
    group(office, "reviews", "a1", "gone", "a2", "b1", "forgotten")
    assert reached(office.send("a1", "@reviews", "m1")) == ["a2"]  # b1 is a worker of another project
    assert reached(office.send("blead", "@reviews", "m2")) == ["a1", "a2", "b1"]
    assert reached(by_operator(office, "@reviews", "m3")) == ["a1", "a2", "b1"]
    office.start("a4", project_id="a")
    assert code(office.send("a4", "@reviews", "m4")) == "FORBIDDEN"
    office.start("gone", project_id="a", parent_session_id="alead")
    assert reached(office.send("a1", "@reviews", "m5")) == ["gone", "a2"]
    unknown = office.send("a1", "@reviewz", "m6")
    assert isinstance(unknown.error, dict)
    assert unknown.error["hint"].startswith("Did you mean @reviews?")
    assert [audiences.is_word(address) for address in ("@reviews", "@children", "@project:a")] == [False, True, True]


def test_the_session_that_made_a_group_may_write_to_it() -> None:
    office = team()
    office.start("a4", project_id="a")
    listed = (GroupMember(session="a1", joined_at=1),)
    made = Group(name="mine", project_id="a", creator="a4", created_at=1, members=listed)
    office.state.apply(GroupChanged(1, "a4", made), None)
    office.commit()
    assert reached(office.send("a4", "@mine", "m1")) == ["a1"]
    assert code(office.send("a2", "@mine", "m2")) == "FORBIDDEN"


def test_a_worker_reaches_no_other_project_by_any_audience() -> None:
    office = team()
    group(office, "mixed", "a1", "b1")
    tried: list[str | list[str]] = ["@workers", "@project", ["@workers", "@project", "@orchestrators"], "@mixed"]
    for number, to in enumerate(tried):
        office.send("a1", to, f"m{number}")
    assert office.state.mailboxes["b1"].head_seq == 0


# --- confirmation and frequency ----------------------------------------------------------------------------------


def test_a_wide_audience_is_confirmed_first() -> None:
    office = team(FREE._replace(fanout_confirm=2))
    asked = office.send("alead", "@workers", "m")
    assert isinstance(asked.error, dict)
    assert (asked.error["code"], asked.error["limit"], asked.error["actual"]) == ("CONFIRM_FANOUT", 2, 3)
    assert "comes to 3 sessions (a1, a2, b1)" in asked.error["message"]
    shown = asked.error["details"]["receivers"]
    assert [each["session"] for each in shown] == ["a1", "a2", "b1"]
    assert shown[0]["presence"]["state"] == "unknown"
    assert office.state.mailboxes["a1"].head_seq == 0
    assert reached(office.send("alead", "@workers", "m", confirm=True)) == ["a1", "a2", "b1"]


def test_a_sender_that_names_itself_confirms_as_well() -> None:
    office = team(FREE._replace(fanout_confirm=1))
    for to in (["alead", "@project"], ["@project", "alead"], ["@project"]):
        assert code(office.send("alead", to, "m")) == "CONFIRM_FANOUT", to


def test_chosen_sets_and_the_operator_need_no_confirmation() -> None:
    office = team(FREE._replace(fanout_confirm=0))
    group(office, "reviews", "a1", "b1")
    assert reached(office.send("alead", ["a1", "a2"], "m1")) == ["a1", "a2"]
    assert reached(office.send("alead", ["@children", "@reviews"], "m2")) == ["a1", "a2", "b1"]
    assert reached(office.send("alead", ["a1", "a2", "b1", "@workers"], "m3")) == ["a1", "a2", "b1"]
    assert code(office.send("alead", ["a1", "@workers"], "m4")) == "CONFIRM_FANOUT"
    # The sender itself is no receiver.
    assert reached(office.send("a1", ["alead", "a2", "@project"], "m5")) == ["alead", "a2"]
    assert reached(by_operator(office, "@all", "m6")) == ["alead", "blead", "a1", "a2", "b1"]


@pytest.mark.parametrize(
    "to", [["@all", "@workers", "@project:x", "@children"] * 8, [f"@project:absent{each}" for each in range(32)]]
)
def test_a_request_looks_each_audience_up_once(to: list[str]) -> None:
    """Otherwise one request of 256 such messages would stop a large post office for seconds."""
    counts = []
    for sessions in (20, 220):
        office = team(Limits(rate_limit=0, fanout_confirm=256, fanout_max=4))
        for number in range(sessions):
            office.start(f"x{number}", project_id="x")
        messages = [Outgoing(id=f"msg_2000000_{number:09}", to=to, text="x") for number in range(64)]
        request = Send(messages=messages, who=Identity("alead"))
        counts.append(calls(partial(office.do, request)))
        [result] = {code(each) for each in office.do(request).results}
        assert result in ("TOO_MANY", "NO_RECEIVERS")
    assert counts[1] - counts[0] < 200 * 30, "the cost of a message depends on the number of sessions"


def test_an_error_names_ten_of_many() -> None:
    office = team(FREE._replace(fanout_confirm=3))
    for number in range(20):
        office.start(f"x{number}", project_id="x")
    asked = office.send("alead", "@workers", "m")
    assert isinstance(asked.error, dict)
    assert "and 13 more" in asked.error["message"]
    assert len(asked.error["details"]["receivers"]) == 23


def test_a_fan_out_is_one_send_and_many_deliveries() -> None:
    office = team(Limits(rate_limit=3, fanout_limit=7, pair_limit=100, fanout_confirm=9))
    office.accept("alead", "@workers", "m1")
    office.now_ms += 1_000
    office.accept("alead", "@workers", "m2")
    refused = office.send("alead", "@workers", "m3")
    assert isinstance(refused.error, dict)
    assert (refused.error["code"], refused.error["limit"], refused.error["actual"]) == ("RATE_LIMITED", 7, 9)
    assert refused.error["retryAfter"] == (RATE_WINDOW_MS - 1_000) / 1000
    assert "MAESTRO_FANOUT_LIMIT" in refused.error["hint"]
    assert "(a1, a2)" not in refused.error["message"]
    office.accept("alead", "a1", "m4")  # one receiver, which is no fan-out
    assert "MAESTRO_RATE_LIMIT" in str(office.send("alead", "a1", "m5").error)
    office.now_ms += RATE_WINDOW_MS - 1_000
    office.accept("alead", "@workers", "m6")
    office.now_ms += RATE_WINDOW_MS
    office.tick()
    office.accept("alead", "@workers", "m7")


def test_more_at_once_than_the_minute_allows() -> None:
    office = team(Limits(fanout_limit=2, fanout_confirm=9))
    refused = office.send("alead", "@workers", "m1")
    assert isinstance(refused.error, dict)
    assert (refused.error["code"], refused.error["actual"]) == ("RATE_LIMITED", 3)
    office.accept("alead", "@project", "m2")


def test_a_thread_and_a_group_have_a_number_of_fan_outs() -> None:
    office = team(Limits(rate_limit=100, group_limit=2, pair_limit=1_000, fanout_confirm=9, short_replies_max=0))
    group(office, "reviews", "a1", "a2", "b1")
    root = office.accept("alead", ["a1", "a2"], "m1").id
    answer = Metadata(in_reply_to=root)
    office.accept("alead", ["a1", "a2"], "m2", metadata=answer)
    again = office.send("alead", ["a1", "a2"], "m3", metadata=answer)
    assert isinstance(again.error, dict)
    assert (again.error["code"], again.error["limit"], again.error["actual"]) == ("LOOP_GUARD", 2, 3)
    assert f"the thread of {root}" in again.error["message"]
    office.accept("a1", "@reviews", "m4")
    office.accept("a2", "@reviews", "m5")
    full = office.send("blead", ["@reviews", "alead"], "m6")
    assert isinstance(full.error, dict)
    assert full.error["code"] == "LOOP_GUARD"
    assert full.error["message"].startswith("@reviews had 2 messages")
    office.now_ms += PAIR_WINDOW_MS
    office.accept("blead", "@reviews", "m7")


def test_a_session_that_is_named_often_is_no_group() -> None:
    """Lists of names count in their threads alone, also where others name the same sessions."""
    office = team(Limits(rate_limit=100, group_limit=2, pair_limit=1_000, short_replies_max=0))
    for number in range(3):
        for sender in ("alead", "blead"):
            office.accept(sender, ["a1", "a2"], f"{sender}{number}")
    group(office, "reviews", "a1")
    for number in range(2):  # named twice, it counts once
        office.accept("alead", ["@reviews", "a2", "@reviews"], f"group{number}")


def test_without_a_rate_limit_nothing_counts_fan_outs() -> None:
    office = team(Limits(rate_limit=0, fanout_limit=1, group_limit=1, fanout_confirm=9))
    for number in range(5):
        office.accept("alead", "@workers", f"m{number}")


# --- states ------------------------------------------------------------------------------------------------------


def test_a_full_mailbox_refuses_for_itself_alone() -> None:
    office = team(FREE._replace(pending_max=1))
    office.accept("alead", "a1", "m1")
    sent = office.send("alead", "@workers", "m2")
    assert (sent.status, sent.accepted, sent.refused) == (201, 2, 1)
    full = sent.recipients[2]
    assert isinstance(full.error, dict)
    assert (full.to, full.status, full.error["code"]) == ("a1", 429, "MAILBOX_FULL")
    assert sent.audience is not None
    assert sent.audience.size == 3


def test_a_message_that_waited_and_is_refused_keeps_its_audience() -> None:
    office = team(FREE._replace(fanout_confirm=1))
    waiting = Outgoing(id="m1", to="@workers", text="hello")
    [result] = office.do(Send(messages=[waiting], who=Identity("alead"), queued=True)).results
    assert (result.state, result.error["code"]) == ("failed", "CONFIRM_FANOUT")
    assert "CONFIRM_FANOUT" in office.inbox("alead")[0].text
    [failed] = [change.record.message for change in office.unfiled if isinstance(change.record, Failed)]
    assert failed.audience is not None
    assert failed.audience.to == ("@workers",)


# --- the operator ------------------------------------------------------------------------------------------------


def test_an_operators_message_is_one_after_any_restart() -> None:
    office = team()
    first = by_operator(office, "a1", "msg_1000000_abcdefghi")
    assert first.status == 201
    for is_filed in (False, True):
        if is_filed:
            office.file()
            office.make_checkpoint()
        office.crash()
        again = by_operator(office, "a1", "msg_1000000_abcdefghi")
        assert (again.status, again.id, again.seq) == (200, first.id, 1)
    assert [message.sender for message in office.inbox("a1")] == [OPERATOR]


def test_the_operator_has_a_mailbox_that_survives() -> None:
    office = team()
    assert office.accept("b1", OPERATOR, "m1").to == OPERATOR
    office.file()
    office.make_checkpoint()
    office.accept("a1", OPERATOR, "m2")
    office.crash()
    assert (office.state.mailboxes[OPERATOR].head_seq, office.state.mailboxes[OPERATOR].pending) == (2, 2)
    assert office.accept("a1", OPERATOR, "m3").seq == 3
